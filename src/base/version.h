#pragma once

#include <string_view>

namespace wherry {

inline constexpr std::string_view version = WHERRY_VERSION;  // from CMakeLists.txt's project()

}  // namespace wherry
