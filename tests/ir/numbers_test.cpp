// Numbers in every data type: narrow floats, integers of less than a byte, casts that do not fit.
#include "ir/narrow_float.h"
#include "ir/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace wherry {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();

double rounded(DType dtype, double value) { return narrow_to_number(dtype, number_to_narrow(dtype, value)); }

TEST(NarrowFloat, EveryCodeReadsBackAsItself) {
  for (const DType dtype : all_dtypes()) {
    if (!is_narrow_float(dtype)) continue;
    for (int code = 0; code < 1 << bits(dtype); ++code) {
      const double number = narrow_to_number(dtype, static_cast<std::uint8_t>(code));
      const double again = rounded(dtype, number);
      EXPECT_TRUE(number == again || (std::isnan(number) && std::isnan(again))) << name(dtype) << " " << code;
    }
  }
}

TEST(NarrowFloat, RoundsToTheNearestAndEndsAsItsTypeDoes) {
  EXPECT_EQ(rounded(DType::float8_e4m3fn, 17), 16);  // a tie between 16 and 18, to the even code
  EXPECT_EQ(rounded(DType::float8_e4m3fn, 19), 20);
  EXPECT_EQ(rounded(DType::float8_e4m3fn, 448), 448);
  EXPECT_EQ(rounded(DType::float8_e4m3fn, 464), 448);
  EXPECT_TRUE(std::isnan(rounded(DType::float8_e4m3fn, 465)));
  EXPECT_EQ(rounded(DType::float8_e5m2, 1e6), infinity);
  EXPECT_EQ(rounded(DType::float8_e5m2, -infinity), -infinity);
  EXPECT_TRUE(std::isnan(rounded(DType::float8_e4m3fnuz, infinity)));
  EXPECT_EQ(number_to_narrow(DType::float8_e5m2fnuz, -0.0), 0);
  EXPECT_EQ(rounded(DType::float4_e2m1fn, 99), 6);
  EXPECT_EQ(rounded(DType::float4_e2m1fn, 0.24), 0);
  EXPECT_EQ(rounded(DType::float8_e8m0fnu, 3.1), 4);
  EXPECT_TRUE(std::isnan(rounded(DType::float8_e8m0fnu, nan)));
  for (const DType dtype : all_dtypes())
    EXPECT_EQ(is_narrow_float(dtype) ? rounded(dtype, greatest(dtype)) : greatest(dtype), greatest(dtype)) << name(dtype);
}

TEST(Numbers, IntegersThatDoNotFitLoseTheirUpperBits) {
  const Tensor wide = Tensor::from<std::int64_t>({-9, 7, 8, 300, -1, (std::int64_t{1} << 62) + 5}, {6});
  EXPECT_EQ(wide.cast(DType::int4).to_ints(), (std::vector<std::int64_t>{7, 7, -8, -4, -1, 5}));
  EXPECT_EQ(wide.cast(DType::uint2).to_ints(), (std::vector<std::int64_t>{3, 3, 0, 0, 3, 1}));
  EXPECT_EQ(wide.cast(DType::uint8).to_ints(), (std::vector<std::int64_t>{247, 7, 8, 44, 255, 5}));
  EXPECT_EQ(wide.cast(DType::uint64).cast(DType::int64).to_ints(), wide.to_ints());
  EXPECT_EQ(Tensor::scalar(-1, DType::int64).cast(DType::uint64).item(), 18446744073709551615.0);
}

TEST(Numbers, PackedElementsComeBack) {
  for (const DType dtype : {DType::int4, DType::uint4, DType::int2, DType::uint2, DType::float4_e2m1fn}) {
    const Tensor numbers = Tensor::from<float>({-1, 0, 1, 0, 1, -1, 1}, {7}).cast(dtype);
    const std::string bytes = packed(numbers);
    EXPECT_EQ(bytes.size(), stored_size(dtype, 7));
    EXPECT_EQ(bytes.size(), dtype == DType::int2 || dtype == DType::uint2 ? 2U : 4U);
    const Tensor again = unpacked(std::as_bytes(std::span(bytes)), dtype, {7});
    for (std::int64_t i = 0; i < 7; ++i) EXPECT_EQ(again.item(i), numbers.item(i)) << name(dtype) << " " << i;
  }
}

TEST(Numbers, ARangeOfAnAxisIsAView) {
  const Tensor whole = Tensor::from<float>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4});
  const Tensor part = whole.narrowed(1, 1, 2).narrowed(0, 2, 1);
  EXPECT_EQ(part.sizes(), (Sizes{1, 2}));
  EXPECT_EQ(part.to_floats(), (std::vector<float>{9, 10}));
  EXPECT_EQ(whole.permuted({1, 0}).narrowed(0, 3, 1).to_floats(), (std::vector<float>{3, 7, 11}));
}

}  // namespace
}  // namespace wherry
