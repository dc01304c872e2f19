#include "ir/narrow_float.h"

#include "base/check.h"

#include <cmath>
#include <limits>

namespace wherry {

namespace {

struct Format {
  int exponent, mantissa, bias;
  enum Ends {
    ieee,       // the last exponent holds infinity and NaN
    nan_last,   // only the last code is NaN
    nan_minus,  // only the code of -0 is NaN
    finite,     // no code is
  } ends;
};

const Format* format_of(DType dtype) {
  static constexpr Format e4m3fn{4, 3, 7, Format::nan_last}, e5m2{5, 2, 15, Format::ieee}, e4m3fnuz{4, 3, 8, Format::nan_minus},
      e5m2fnuz{5, 2, 16, Format::nan_minus}, e2m1{2, 1, 1, Format::finite};
  switch (dtype) {
    case DType::float8_e4m3fn: return &e4m3fn;
    case DType::float8_e5m2: return &e5m2;
    case DType::float8_e4m3fnuz: return &e4m3fnuz;
    case DType::float8_e5m2fnuz: return &e5m2fnuz;
    case DType::float4_e2m1fn: return &e2m1;
    default: return nullptr;
  }
}

int last_code(const Format& f) { return (1 << (f.exponent + f.mantissa)) - 1; }

int greatest_code(const Format& f) {
  return f.ends == Format::ieee ? last_code(f) - (1 << f.mantissa) : f.ends == Format::nan_last ? last_code(f) - 1 : last_code(f);
}

double magnitude(const Format& f, int code) {
  const int exponent = code >> f.mantissa, mantissa = code & ((1 << f.mantissa) - 1);
  if (exponent == 0) return std::ldexp(mantissa, 1 - f.bias - f.mantissa);
  return std::ldexp(mantissa + (1 << f.mantissa), exponent - f.bias - f.mantissa);
}

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Powers of two alone, from 2^-127; the last code is NaN.
double power_of_code(std::uint8_t code) { return code == 255 ? nan : std::ldexp(1.0, code - 127); }

std::uint8_t code_of_power(double value) {
  if (!(value >= 0)) return 255;
  if (value < std::ldexp(1.0, -127)) return 0;
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // [0.5, 1)
  if (!std::isfinite(value)) return 255;
  int code = exponent - 1 + 127;
  if (fraction > 0.75 || (fraction == 0.75 && code % 2 != 0)) ++code;
  return static_cast<std::uint8_t>(code > 254 ? 255 : code);
}

}  // namespace

bool is_narrow_float(DType dtype) { return dtype == DType::float8_e8m0fnu || format_of(dtype); }

double narrow_to_number(DType dtype, std::uint8_t code) {
  if (dtype == DType::float8_e8m0fnu) return power_of_code(code);
  const Format* f = format_of(dtype);
  WHERRY_CHECK(f, "{} is no narrow float", name(dtype));
  const int sign = last_code(*f) + 1, size = code & last_code(*f);
  const bool negative = (code & sign) != 0;
  if (f->ends == Format::nan_minus && negative && size == 0) return nan;
  if (size > greatest_code(*f)) {
    const bool infinite = f->ends == Format::ieee && size == greatest_code(*f) + 1;
    return !infinite ? nan : negative ? -HUGE_VAL : HUGE_VAL;
  }
  return negative ? -magnitude(*f, size) : magnitude(*f, size);
}

std::uint8_t number_to_narrow(DType dtype, double value) {
  if (dtype == DType::float8_e8m0fnu) return code_of_power(value);
  const Format* f = format_of(dtype);
  WHERRY_CHECK(f, "{} is no narrow float", name(dtype));
  const int sign = std::signbit(value) ? last_code(*f) + 1 : 0, most = greatest_code(*f);
  const auto not_a_number = [&] {
    return static_cast<std::uint8_t>(f->ends == Format::nan_minus || f->ends == Format::finite ? last_code(*f) + 1 : last_code(*f));
  };
  if (std::isnan(value)) return not_a_number();
  const double size = std::abs(value);
  int code = most + 1;
  if (size <= 2 * magnitude(*f, most)) {
    int exponent = 0;
    std::frexp(size, &exponent);
    const int step = std::max(size == 0 ? 1 - f->bias : exponent - 1, 1 - f->bias);
    code = static_cast<int>(std::nearbyint(std::ldexp(size, f->mantissa - step))) + ((step + f->bias - 1) << f->mantissa);
  }
  if (code > most) {
    if (f->ends == Format::finite) return static_cast<std::uint8_t>(sign | most);
    return f->ends == Format::ieee ? static_cast<std::uint8_t>(sign | (most + 1)) : not_a_number();
  }
  return static_cast<std::uint8_t>(code == 0 && f->ends == Format::nan_minus ? 0 : sign | code);
}

double greatest(DType dtype) {
  if (dtype == DType::float8_e8m0fnu) return std::ldexp(1.0, 127);
  if (const Format* f = format_of(dtype)) return magnitude(*f, greatest_code(*f));
  switch (dtype) {
    case DType::float64: return std::numeric_limits<double>::max();
    case DType::float16: return 65504;
    case DType::bfloat16: return std::ldexp(255.0, 120);
    default: return std::numeric_limits<float>::max();
  }
}

}  // namespace wherry
