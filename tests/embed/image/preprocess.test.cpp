#include "mql4grec/embed/image/preprocess.hpp"

#include <doctest/doctest.h>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/read_preprocessing.hpp"
#include "support/golden_images.hpp"

using namespace mql4grec;
using embed::image_preprocessing, embed::image_resize, embed::image_size, embed::rgb_image;

namespace {

std::vector<float> preprocessed(rgb_image const& image, image_preprocessing const& how) {
  std::vector<float> out(to_size(how.values()));
  embed::preprocess_image(image, how, view_of(std::span(out)));
  return out;
}

image_preprocessing read(std::string const& text) {
  test::temporary_directory const directory;
  test::put(directory / "preprocessor_config.json", text);
  return embed::read_image_preprocessing(directory / "preprocessor_config.json");
}
std::string error_of(std::string const& text) {
  auto const message = test::complaint<file_error>([&] { (void)read(text); });
  auto const at = message.find(".json: ");
  return at == std::string::npos ? message : message.substr(at + 7);
}

}  // namespace

TEST_CASE("preprocess_image: equals CLIPImageProcessor bit for bit") {
  safetensors const golden(test::golden_images() / "golden.safetensors");
  int compared = 0;
  for (auto const& name : golden.names()) {
    bool const padded = name.ends_with("/clip_padded");
    if (!padded && !name.ends_with("/clip")) continue;
    INFO(name);
    image_preprocessing how{.shortest_edge = 13, .crop = {.width = 8, .height = 6}};
    if (padded) how.shortest_edge = 11, how.crop = {.width = 14, .height = 20};
    auto const image = test::golden_image(golden, name.substr(0, name.rfind('/')) + "/rgb");
    CHECK(preprocessed(image, how) == golden.values<float>(name));
    ++compared;
  }
  CHECK(compared > 25);
}

#if MQL4GREC_HAS_IMAGES
TEST_CASE("preprocess_image: equals the default CLIPImageProcessor, by the hash of its floats") {
  auto const hashes = read_json(test::golden_images() / "hashes.json");
  int compared = 0;
  for (auto const& entry : hashes.items()) {
    auto const& name = entry.key();
    auto const& entries = entry.value();
    if (!entries.contains("clip")) continue;
    INFO(name);
    auto const values = preprocessed(embed::read_image(test::golden_images() / name), {});
    CHECK(test::hash_of(values.data(), values.size() * sizeof(float)) == entries.at("clip").get<std::string>());
    ++compared;
  }
  CHECK(compared >= 10);
}
#endif

TEST_CASE("shortest_edge_size: the long edge is truncated") {
  CHECK(embed::shortest_edge_size({640, 480}, 224) == image_size{298, 224});
  CHECK(embed::shortest_edge_size({480, 640}, 224) == image_size{224, 298});
  CHECK(embed::shortest_edge_size({7, 7}, 3) == image_size{3, 3});
  CHECK(embed::shortest_edge_size({1, 89'478'485}, 224) == image_size{224, 20'043'180'640});
}

TEST_CASE("preprocess_image: an image of extreme shape costs no more than its crop") {
  rgb_image const line{{1, 1'000'000}, std::vector<std::uint8_t>(3'000'000, 255)};
  auto const values = preprocessed(line, {});
  CHECK(values.front() == doctest::Approx((1 - 0.48145466) / 0.26862954));
}

TEST_CASE("preprocess_image: empty images and places of another size are refused") {
  std::vector<float> out(5);
  CHECK_THROWS_AS(embed::preprocess_image({}, {}, view_of(std::span(out))), error);
  rgb_image const image{{1, 1}, {1, 2, 3}};
  CHECK_THROWS_AS(embed::preprocess_image(image, {}, view_of(std::span(out))), error);
}

TEST_CASE("read_image_preprocessing: the file of a CLIP checkpoint, old and new") {
  CHECK(read("{}") == image_preprocessing{});
  auto const large =
      read(R"({"crop_size": {"height": 336, "width": 320}, "do_center_crop": true, "do_convert_rgb": true,
    "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.25, 0.125],
    "image_std": [0.5, 1, 2], "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 330}})");
  image_preprocessing const expected{.shortest_edge = 330,
                                     .crop = {.width = 320, .height = 336},
                                     .mean = {0.5f, 0.25f, 0.125f},
                                     .deviation = {0.5f, 1, 2}};
  CHECK(large == expected);
  CHECK(read(R"({"size": 64, "crop_size": 32})") == image_preprocessing{.shortest_edge = 64, .crop = {32, 32}});
  CHECK(read(R"({"size": {"height": 30, "width": 40}, "do_center_crop": false})") ==
        image_preprocessing{.resize = image_resize::exact, .exact_size = {40, 30}, .crop = {40, 30}});
  auto const raw = read(R"({"do_resize": false, "do_rescale": false, "do_normalize": false})");
  CHECK(raw ==
        image_preprocessing{.resize = image_resize::none, .rescale = 1, .mean = {0, 0, 0}, .deviation = {1, 1, 1}});
}

TEST_CASE("read_image_preprocessing: what would give other pixels is refused") {
  CHECK(error_of(R"({"resample": 2})") == "key 'resample' is 2, expected 3 (bicubic)");
  CHECK(error_of(R"({"size": {"shortest_edge": 0}})") ==
        "key 'shortest_edge': expected a number of pixels from 1 to 16384");
  CHECK(error_of(R"({"size": 1000000})") == "key 'size': expected a number of pixels from 1 to 16384");
  CHECK(error_of(R"({"crop_size": {"height": 3}})") == "key 'width': expected a number of pixels from 1 to 16384");
  CHECK(error_of(R"({"crop_size": "large"})") == "key 'crop_size': expected a number of pixels from 1 to 16384");
  CHECK(error_of(R"({"image_mean": [1, 2]})") == "key 'image_mean': has 2 numbers, expected 3");
  CHECK(error_of(R"({"image_std": [1, 0, 1]})") == "key 'image_std': expected positive numbers");
  CHECK(error_of(R"({"image_std": [1, 1e99, 1]})") == "key 'image_std': expected finite numbers");
  CHECK(error_of(R"({"do_center_crop": false})").starts_with("key 'do_center_crop' is false: expected true"));
  CHECK(error_of("[]") == "expected a JSON object");
}
