// Floats of 8 bits and less: their codes as numbers, and numbers as the nearest code (ties to the even one).
#pragma once

#include "ir/dtype.h"

#include <optional>

namespace wherry {

bool is_narrow_float(DType dtype);
double narrow_to_number(DType dtype, std::uint8_t code);
// Beyond the greatest: infinity where the type has one, else NaN, else the greatest.
std::uint8_t number_to_narrow(DType dtype, double value);
double greatest(DType dtype);  // finite number of a float type

}  // namespace wherry
