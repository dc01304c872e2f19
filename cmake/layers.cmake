# wherry_layer(NAME [USES layer…] [LIBRARIES target…]): the folder src/NAME as one static library.
# Its headers are found as "NAME/….h" through a directory of its own that holds only a link to the folder, so that a
# source can include what its layer links to and nothing else: a wrong include does not build.
set(WHERRY_INCLUDES ${CMAKE_SOURCE_DIR}/build/include)

add_library(wherry_options INTERFACE)
target_compile_options(wherry_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
  -Wno-missing-field-initializers    # designated initialisers leave out what has a default
  -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict)   # g++ 12 reports std::string's own code (GCC bugs 105329, 105651)
if(WHERRY_SANITIZE)
  target_compile_options(wherry_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)   # g++ 12 is wrong about std::variant under sanitizers
  target_link_options(wherry_options INTERFACE -fsanitize=address,undefined)
endif()
if(WHERRY_COVERAGE)
  target_compile_options(wherry_options INTERFACE --coverage -O0)
  target_link_options(wherry_options INTERFACE --coverage)
endif()

# One precompiled header of the standard library and fmt for all layers.
file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "")
add_library(wherry_pch STATIC ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(wherry_pch PUBLIC wherry_options fmt::fmt)
target_precompile_headers(wherry_pch PRIVATE <algorithm> <cmath> <functional> <map> <memory> <optional> <span> <string> <string_view>
  <variant> <vector> <fmt/format.h>)

function(wherry_layer layer)
  cmake_parse_arguments(ARG "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${layer}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/${layer}_empty.cpp "")
    set(sources ${CMAKE_BINARY_DIR}/${layer}_empty.cpp)
  endif()
  add_library(wherry_${layer} STATIC ${sources})
  file(MAKE_DIRECTORY ${WHERRY_INCLUDES}/${layer})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${layer} ${WHERRY_INCLUDES}/${layer}/${layer} SYMBOLIC)
  target_include_directories(wherry_${layer} PUBLIC ${WHERRY_INCLUDES}/${layer})
  list(TRANSFORM ARG_USES PREPEND wherry_)
  target_link_libraries(wherry_${layer} PUBLIC ${ARG_USES} wherry_options fmt::fmt ${ARG_LIBRARIES})
  target_precompile_headers(wherry_${layer} REUSE_FROM wherry_pch)
endfunction()
