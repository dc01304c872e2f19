#include "data/inputs.h"

#include "base/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace wherry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const Preprocess imagenet{
    .shorter_side = 4, .crop = {4, 4}, .scale = 1.0 / 255, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};

class InputsTest : public testing::Test {
 protected:
  InputsTest() : folder_(fs::temp_directory_path() / fmt::format("wherry_data_{}", ::getpid())) { fs::create_directories(folder_); }
  ~InputsTest() override { fs::remove_all(folder_); }

  template <class T>
  fs::path npy(const std::string& descr, const Sizes& sizes, const std::vector<T>& values) {
    std::string shape;
    for (const std::int64_t size : sizes) shape += fmt::format("{}, ", size);
    std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
    header.resize((10 + header.size() + 63) / 64 * 64 - 10, ' ');
    std::string bytes("\x93NUMPY\x01\x00", 8);
    bytes += static_cast<char>(header.size() & 255), bytes += static_cast<char>(header.size() >> 8);
    bytes += header;
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    const fs::path file = folder_ / fmt::format("{}.npy", ++files_);
    write_text(file, bytes);
    return file;
  }

  // Eight photographs' worth of values: every grey level, through `of(channel, level)`.
  fs::path photographs(const std::function<double(std::size_t, double)>& of) {
    std::vector<float> values;
    for (std::size_t i = 0; i < 8; ++i)
      for (std::size_t channel = 0; channel < 3; ++channel)
        for (std::size_t pixel = 0; pixel < 16; ++pixel)
          values.push_back(static_cast<float>(of(channel, static_cast<double>((pixel * 17 + i) % 256))));
    return npy("<f4", {8, 3, 4, 4}, values);
  }

  static std::string faults(const fs::path& file, const std::optional<Preprocess>& preprocess, const InputPort& port) {
    Diagnostics diagnostics;
    const Inputs inputs(Dataset::open(file), {port}, preprocess, diagnostics);
    std::string text;
    for (const Diagnostic& d : diagnostics.all()) text += render(d);
    return text;
  }

  fs::path folder_;
  int files_ = 0;
  const InputPort port_{.name = "image", .type = {DType::float32, {1, 3, 4, 4}}};
};

TEST_F(InputsTest, RightStatisticsPass) {
  const fs::path file = photographs([](std::size_t channel, double level) { return normalised(imagenet, channel, level); });
  EXPECT_EQ(faults(file, imagenet, port_), "");
}

TEST_F(InputsTest, UnscaledDataAreRefusedByName) {
  const fs::path file = photographs([](std::size_t, double level) { return level; });
  EXPECT_THAT(faults(file, imagenet, port_),
              testing::AllOf(HasSubstr("E807"), HasSubstr("grey levels as they are, 0..255"), HasSubstr("expected -2.12 to 2.64")));
}

TEST_F(InputsTest, ScaledButNotNormalisedDataAreRefused) {
  const fs::path file = photographs([](std::size_t, double level) { return level / 255; });
  EXPECT_THAT(faults(file, imagenet, port_), testing::AllOf(HasSubstr("E807"), HasSubstr("scaled to 0..1 and not normalised")));
}

TEST_F(InputsTest, AnotherModelsNormalisationIsRefused) {
  Preprocess centred;
  centred.mean = {127, 127, 127}, centred.std = {128, 128, 128};
  const fs::path of_imagenet = photographs([](std::size_t channel, double level) { return normalised(imagenet, channel, level); });
  const fs::path of_centred = photographs([&](std::size_t channel, double level) { return normalised(centred, channel, level); });
  EXPECT_THAT(faults(of_imagenet, centred, port_), HasSubstr("E807"));
  EXPECT_THAT(faults(of_centred, imagenet, port_), HasSubstr("E807"));
  EXPECT_EQ(faults(of_centred, centred, port_), "");
}

TEST_F(InputsTest, NotANumberIsRefused) {
  const fs::path file = photographs([](std::size_t, double level) { return level > 200 ? std::nan("") : 0.0; });
  EXPECT_THAT(faults(file, imagenet, port_), HasSubstr("NaN"));
}

TEST_F(InputsTest, WrongTypeAndShapeAreNamed) {
  EXPECT_THAT(faults(npy<std::int32_t>("<i4", {1, 3, 4, 4}, std::vector<std::int32_t>(48)), imagenet, port_),
              testing::AllOf(HasSubstr("E806"), HasSubstr("int32"), HasSubstr("takes real numbers")));
  EXPECT_THAT(faults(npy<float>("<f4", {2, 3, 5, 4}, std::vector<float>(120)), imagenet, port_),
              testing::AllOf(HasSubstr("E806"), HasSubstr("float32[2, 3, 5, 4]"), HasSubstr("image: float32[1, 3, 4, 4]")));
}

TEST_F(InputsTest, ImagesWithoutARecordAreRefused) {
  EXPECT_THAT(faults(npy<std::uint8_t>("|u1", {1, 4, 4, 3}, std::vector<std::uint8_t>(48)), std::nullopt, port_), HasSubstr("E809"));
}

TEST_F(InputsTest, ACropOfAnotherSizeThanTheModelTakesIsNamed) {
  Preprocess larger = imagenet;
  larger.crop = {6, 6};
  EXPECT_THAT(faults(npy<std::uint8_t>("|u1", {1, 8, 8, 3}, std::vector<std::uint8_t>(192)), larger, port_),
              testing::AllOf(HasSubstr("E806"), HasSubstr("gives 6 x 6"), HasSubstr("takes 4 x 4")));
}

TEST_F(InputsTest, ArraysTurnToTheLayoutThatIsWanted) {
  std::vector<float> values(2 * 3 * 4 * 5);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const fs::path file = npy<float>("<f4", {2, 3, 4, 5}, values);
  Diagnostics diagnostics;
  const Inputs inputs(Dataset::open(file), {{.name = "x", .type = {DType::float32, {1, 4, 5, 3}}, .channels_last = true}}, std::nullopt,
                      diagnostics);
  ASSERT_FALSE(diagnostics.has_errors());
  ASSERT_EQ(inputs.size(), 2U);
  const Tensor second = inputs.load(1).at(0);
  EXPECT_EQ(second.sizes(), (Sizes{1, 4, 5, 3}));
  EXPECT_EQ(second.as<float>()[(1 * 5 + 2) * 3 + 2], static_cast<float>(60 + 2 * 20 + 1 * 5 + 2));
}

// What quantized inputs get is what normalising first and rounding then would give.
TEST_F(InputsTest, QuantizedPixelsEqualNormalisedOnesRounded) {
  Image image{16, 16, std::vector<std::uint8_t>(16 * 16 * 3)};
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<std::uint8_t>(i / 3);
  const Tensor reals = PixelTable(imagenet, {.channels_last = true}).apply(image);
  const Tensor levels =
      PixelTable(imagenet, {.dtype = DType::int8, .channels_last = true, .scale = 0.0186, .zero_point = -14}).apply(image);
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    const double expected = std::clamp(std::round(static_cast<double>(reals.as<float>()[i]) / 0.0186) - 14, -128.0, 127.0);
    ASSERT_EQ(static_cast<double>(levels.as<std::int8_t>()[i]), expected) << i;
  }
  const Tensor first = PixelTable(imagenet, {}).apply(image);
  EXPECT_TRUE(first.permuted({0, 2, 3, 1}).contiguous().same_bits(reals));
}

TEST_F(InputsTest, GreyLevelsThemselvesForBytesWithoutAScale) {
  const Image image{1, 1, {0, 128, 255}};
  const Tensor bytes = PixelTable(imagenet, {.dtype = DType::uint8}).apply(image);
  EXPECT_EQ(bytes.as<std::uint8_t>()[1], 128);
  const Tensor centred = PixelTable(imagenet, {.dtype = DType::int8}).apply(image);
  EXPECT_EQ(centred.as<std::int8_t>()[0], -128);
}

TEST_F(InputsTest, FoldersWithoutImagesAndFormatsThatAreNotReadAreNamed) {
  const auto message = [](const fs::path& path) {
    try {
      Dataset::open(path);
    } catch (const Failure& failure) {
      return std::string(failure.what());
    }
    return std::string();
  };
  EXPECT_THAT(message(folder_), testing::AllOf(HasSubstr("E801"), HasSubstr("holds no images")));
  write_text(folder_ / "a.gif", "GIF89a");
  write_text(folder_ / "b.bmp", "BM");
  EXPECT_THAT(message(folder_), testing::AllOf(HasSubstr("a.gif"), HasSubstr("b.bmp"), HasSubstr("E802")));
  write_text(folder_ / "list.csv", "file,label\nmissing.jpg,3\nother.jpg,4\n");
  EXPECT_THAT(message(folder_ / "list.csv"), testing::AllOf(HasSubstr("missing.jpg"), HasSubstr("other.jpg"), HasSubstr("row 3")));
}

TEST_F(InputsTest, ListsGiveTheirLabels) {
  for (const char* name : {"one.jpg", "two words.jpg"}) write_text(folder_ / name, "");
  write_text(folder_ / "list.txt", "one.jpg 7\ntwo words.jpg 281\n");
  write_text(folder_ / "list.csv",
             "\xEF\xBB\xBF"
             "file,label\r\none.jpg,\"crane, bird\"\r\n\"two words.jpg\",tabby\r\n");
  const auto plain = Dataset::open(folder_ / "list.txt"), quoted = Dataset::open(folder_ / "list.csv");
  EXPECT_EQ(plain->sample(1).name, "two words.jpg");
  EXPECT_EQ(plain->sample(1).label, "281");
  EXPECT_EQ(quoted->sample(0).label, "crane, bird");
  EXPECT_EQ(quoted->evenly(1)->size(), 1U);
}

}  // namespace
}  // namespace wherry
