// What tests/python/test_data.py compares with Pillow: a request a line on stdin, tab-separated; an image on stdout for each.
//   decode FILE
//   resize FILE WIDTH HEIGHT FILTER
//   area FILE WIDTH HEIGHT FILTER LEFT TOP AREA_WIDTH AREA_HEIGHT
//   geometry FILE SHORTER_SIDE CROP_HEIGHT CROP_WIDTH FILTER
// Out: "WIDTH HEIGHT\n" and the bytes, or "0 LENGTH\n" and a message.
#include "base/text.h"
#include "data/apply_preprocess.h"

#include <iostream>

namespace {

using namespace wherry;

Image answer(const std::vector<std::string>& words) {
  const Image image = read_image(words.at(1));
  const auto number = [&](std::size_t i) { return std::stoi(words.at(i)); };
  if (words[0] == "resize") return resize(image, number(2), number(3), parse_filter(words.at(4)).value());
  if (words[0] == "area")
    return resize(image, number(2), number(3), parse_filter(words.at(4)).value(), {number(5), number(6), number(7), number(8)});
  if (words[0] == "geometry") {
    Preprocess preprocess;
    preprocess.shorter_side = number(2), preprocess.crop = {number(3), number(4)}, preprocess.filter = words.at(5);
    return apply_geometry(image, preprocess);
  }
  return image;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      const Image image = answer(split(line, '\t'));
      std::cout << image.width << ' ' << image.height << '\n';
      std::cout.write(reinterpret_cast<const char*>(image.rgb.data()), static_cast<std::streamsize>(image.rgb.size()));
    } catch (const Failure& failure) {
      const std::string text = failure.what();
      std::cout << "0 " << text.size() << '\n' << text;
    }
  }
}
