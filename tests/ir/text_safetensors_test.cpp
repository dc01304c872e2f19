// Weights beside the text: what is written reads back bit for bit; damaged files are refused.
#include "base/files.h"
#include "export/safetensors/write_safetensors.h"
#include "import/safetensors/read_safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

namespace wherry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    file_ = fs::temp_directory_path() /
            ("wherry_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + ".safetensors");
  }
  void TearDown() override { fs::remove(file_); }

  // A file with this header and `bytes` of data.
  std::string refused(const std::string& header, std::size_t bytes, std::optional<std::uint64_t> length = {}) {
    const std::uint64_t n = length.value_or(header.size());
    std::ofstream out(file_, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&n), 8);
    out << header << std::string(bytes, '\0');
    out.close();
    try {
      read_safetensors(file_);
    } catch (const Failure& failure) {
      return failure.what();
    }
    return "";
  }

  fs::path file_;
};

TEST_F(Safetensors, WhatIsWrittenReadsBack) {
  Weights weights;
  weights["b.weight"] = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  weights["a.bias"] = Tensor::from(std::vector<std::int64_t>{7}, {1});
  weights["strided"] = weights["b.weight"].permuted({1, 0});
  weights["empty"] = Tensor::allocate(DType::float32, {0, 4});
  weights["scalar"] = Tensor::scalar(3, DType::float16);
  weights["flags"] = Tensor::scalar(1, DType::boolean);
  weights["bf"] = Tensor::scalar(-2.5, DType::bfloat16);
  weights["\"quoted\" ключ"] = Tensor::scalar(1);
  write_safetensors(weights, file_);
  const Weights again = read_safetensors(file_);
  ASSERT_EQ(again.size(), weights.size());
  for (const auto& [key, tensor] : weights) EXPECT_TRUE(again.at(key).same_bits(tensor)) << key;
  EXPECT_EQ(again.at("strided").to_floats(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST_F(Safetensors, SameWeightsGiveSameBytes) {
  const Weights weights = {{"x", Tensor::scalar(1)}, {"y", Tensor::scalar(2)}};
  write_safetensors(weights, file_);
  const std::string first = read_text(file_);
  write_safetensors(weights, file_);
  EXPECT_EQ(read_text(file_), first);
  EXPECT_EQ(first.size() % 4, 0U);
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  EXPECT_THAT(first, HasSubstr(R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]})"));
}

TEST_F(Safetensors, RefusesDamagedFiles) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(refused(good, 8), "");
  EXPECT_THAT(refused(good, 7), AllOf(HasSubstr("E102"), HasSubstr("the bytes of weight 'a' lie outside the file")));
  EXPECT_THAT(refused(good, 9), AllOf(HasSubstr("E102"), HasSubstr("its weights take 8 bytes, but 9 follow the header")));
  EXPECT_THAT(refused(good, 0, 1U << 20U), AllOf(HasSubstr("E102"), HasSubstr("its header should have 1048576 bytes")));
  EXPECT_THAT(refused(good, 0, ~0ULL), AllOf(HasSubstr("E107"), HasSubstr("no safetensors file has more")));
  EXPECT_THAT(refused("{", 0), AllOf(HasSubstr("E104"), HasSubstr("not JSON")));
  EXPECT_THAT(refused("[]", 0), AllOf(HasSubstr("E104"), HasSubstr("not a JSON object")));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[2]}})", 8),
              AllOf(HasSubstr("E104"), HasSubstr("lacks its dtype, shape or data_offsets")));
  EXPECT_THAT(refused(R"({"a":3})", 8), HasSubstr("E104"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"Q3","shape":[2],"data_offsets":[0,8]}})", 8), AllOf(HasSubstr("E106"), HasSubstr("'Q3'")));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
              AllOf(HasSubstr("E105"), HasSubstr("float32[3], which takes 12 bytes; it has 8")));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), HasSubstr("E104"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904, 4],"data_offsets":[0,8]}})", 8),
              AllOf(HasSubstr("E105"), HasSubstr("overflows")));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), HasSubstr("E102"));
  const std::string b = R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":)";
  EXPECT_THAT(refused(good.substr(0, good.size() - 1) + b + "[4,8]}}", 8), AllOf(HasSubstr("E102"), HasSubstr("'b' overlap another's")));
  EXPECT_THAT(refused(good.substr(0, good.size() - 1) + b + "[12,16]}}", 16), AllOf(HasSubstr("E102"), HasSubstr("'b' leave a gap")));
}

TEST_F(Safetensors, AlignsWhatAForeignWriterDidNot) {
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const std::uint64_t length = header.size();
  const float values[] = {1.5F, -2};
  std::ofstream out(file_, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), 8) << header << '\7';
  out.write(reinterpret_cast<const char*>(values), sizeof values);
  out.close();
  const Weights weights = read_safetensors(file_);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weights.at("b").data()) % 4, 0U);
  EXPECT_EQ(weights.at("b").to_floats(), (std::vector<float>{1.5F, -2}));
}

TEST_F(Safetensors, RefusesWhatIsNoFile) {
  std::ofstream(file_) << "abc";
  EXPECT_THROW(read_safetensors(file_), Failure);
  fs::remove(file_);
  EXPECT_THROW(read_safetensors(file_), Failure);
}

}  // namespace
}  // namespace wherry
