#include "mql4grec/embed/image/resample.hpp"

#include <doctest/doctest.h>

#include "mql4grec/core/json.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "support/golden_images.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using embed::image_size, embed::image_window, embed::rgb_image;

namespace {

rgb_image random_image(image_size size, std::uint64_t seed) {
  rgb_image image{size, std::vector<std::uint8_t>(to_size(3 * size.width * size.height))};
  random_stream random(seed, 0);
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random.below(256));
  return image;
}

/// A window by its definition: the whole image is resized, and black lies around it.
rgb_image cut(rgb_image const& image, image_window window) {
  rgb_image part{window.size, std::vector<std::uint8_t>(to_size(3 * window.size.width * window.size.height))};
  for (index_t y = 0; y < window.size.height; ++y)
    for (index_t x = 0; x < window.size.width; ++x) {
      index_t const from_x = x + window.left, from_y = y + window.top;
      if (from_x < 0 || from_y < 0 || from_x >= image.size.width || from_y >= image.size.height) continue;
      std::copy_n(image.row(from_y) + 3 * from_x, 3, part.row(y) + 3 * x);
    }
  return part;
}

}  // namespace

TEST_CASE("resize_bicubic: equals Pillow at every size of the golden data") {
  safetensors const golden(test::golden_images() / "golden.safetensors");
  int compared = 0;
  for (auto const& name : golden.names()) {
    auto const slash = name.rfind('/');
    if (name.find('x', slash) == std::string::npos) continue;  // not WxH
    INFO(name);
    auto const expected = test::golden_image(golden, name);
    auto const image = test::golden_image(golden, name.substr(0, slash) + "/rgb");
    CHECK(embed::resize_bicubic(image, expected.size) == expected);
    ++compared;
  }
  CHECK(compared > 80);
}

#if MQL4GREC_HAS_IMAGES
TEST_CASE("resize_bicubic: equals Pillow at larger sizes, by their hashes") {
  auto const hashes = read_json(test::golden_images() / "hashes.json");
  for (auto const& entry : hashes.items())
    for (auto const size : {image_size{150, 80}, image_size{64, 300}}) {
      auto const& name = entry.key();
      auto const key = std::to_string(size.width) + "x" + std::to_string(size.height);
      INFO(name, " ", key);
      auto const resized = embed::resize_bicubic(embed::read_image(test::golden_images() / name), size);
      CHECK(test::hash_of(resized.pixels.data(), resized.pixels.size()) == entry.value().at(key).get<std::string>());
    }
}
#endif

TEST_CASE("resize_bicubic: every instruction set returns the same pixels") {
  auto const image = random_image({123, 77}, 1);
  std::vector<rgb_image> results;
  test::for_each_instruction_set([&] { results.push_back(embed::resize_bicubic(image, {50, 201})); });
  for (auto const& result : results) CHECK(result == results.front());
}

TEST_CASE("resize_bicubic: a window equals that part of the whole result, and is black outside") {
  auto const image = random_image({29, 17}, 2);
  for (auto const size : {image_size{29, 17}, image_size{12, 40}, image_size{29, 5}, image_size{70, 17}}) {
    auto const whole = embed::resize_bicubic(image, size);
    for (auto const window : {image_window{0, 0, size}, image_window{3, 2, {5, 1}}, image_window{-4, -3, {90, 60}},
                              image_window{5, -2, {200, 4}}, image_window{-9, 1, {9, 3}},
                              image_window{500, 500, {2, 2}}, image_window{1, 1, {0, 3}}}) {
      INFO(size.width, " x ", size.height, ", window at ", window.left, ", ", window.top);
      CHECK(embed::resize_bicubic(image, size, window) == cut(whole, window));
    }
  }
}

TEST_CASE("resize_bicubic: the window of an extreme enlargement costs no more than the window") {
  auto const line = random_image({1, 100'000}, 3);
  auto const part = embed::resize_bicubic(line, {224, 22'400'000}, {0, 11'199'888, {224, 224}});
  CHECK(part.size == image_size{224, 224});
}

TEST_CASE("resize_bicubic: many taps per pixel are computed a few pixels at a time") {
  auto const line = random_image({2'000'000, 1}, 4);
  auto const mean = embed::resize_bicubic(line, {4, 1});
  for (auto const value : mean.pixels) CHECK(std::abs(int{value} - 127) <= 2);
}

TEST_CASE("resize_bicubic: impossible sizes are refused") {
  auto const image = random_image({2, 2}, 5);
  CHECK_THROWS_AS(embed::resize_bicubic(image, {0, 4}), error);
  CHECK_THROWS_AS(embed::resize_bicubic({}, {4, 4}), error);
  CHECK_THROWS_AS(embed::resize_bicubic(image, {4, -1}), error);
  CHECK_THROWS_AS(embed::resize_bicubic(image, {1 << 20, 1 << 20}), error);
  rgb_image const lying{{3, 3}, std::vector<std::uint8_t>(12)};
  CHECK_THROWS_AS(embed::resize_bicubic(lying, {4, 4}), error);
  auto const tall = random_image({1, 3'000'000}, 6);
  CHECK_THROWS_WITH_AS(embed::resize_bicubic(tall, {224, 224}),
                       "an image of 1 x 3000000 pixels can't be resized to 224 x 224: more than 268435456 pixels "
                       "between the two passes",
                       error);
}
