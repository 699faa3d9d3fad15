#include "mql4grec/embed/image/decode.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "core/temporary_directory.hpp"
#include "support/golden_images.hpp"
#include "support/hostile_files.hpp"

#if MQL4GREC_HAS_IMAGES

using namespace mql4grec;
using embed::image_format, embed::image_limits, embed::rgb_image;

namespace {

std::span<std::byte const> bytes_of(std::string const& content) {
  return std::as_bytes(std::span(content.data(), content.size()));
}

/// A PNG file that ends before its first pixel; the checksum of its header is right.
std::string png_header(std::uint32_t width, std::uint32_t height) {
  auto const big_endian = [](std::uint32_t n) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(n >> shift & 255);
    return text;
  };
  std::string const chunk = "IHDR" + big_endian(width) + big_endian(height) + std::string("\x08\x02\0\0\0", 5);
  std::uint32_t crc = ~0u;
  for (char const c : chunk) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return "\x89PNG\r\n\x1a\n" + big_endian(13) + chunk + big_endian(~crc) + big_endian(1000) + "IDAT";
}

std::string error_of(std::string const& content, image_limits const& limits = {}) {
  return test::complaint<file_error>([&] { (void)embed::decode_image(bytes_of(content), "f", limits); });
}

int worst_difference(rgb_image const& a, rgb_image const& b) {
  int worst = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    worst = std::max(worst, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return worst;
}

}  // namespace

TEST_CASE("images: pixels equal Pillow's, exactly for lossless files and within one level for the others") {
  safetensors const expected(test::golden_images() / "golden.safetensors");
  auto const names = test::golden_image_names();
  REQUIRE(names.size() > 50);
  for (auto const& name : names) {
    INFO(name);
    auto const image = embed::read_image(test::golden_images() / name);
    auto const pillow = test::golden_image(expected, name + "/rgb");
    REQUIRE(image.size == pillow.size);
    CHECK(worst_difference(image, pillow) <= (test::is_lossless(name) ? 0 : 1));
  }
}

TEST_CASE("images: the content decides the format, not the name") {
  auto const content = read_file(test::golden_images() / "jpeg_named.png");
  CHECK(embed::format_of(bytes_of(content), "f") == image_format::jpeg);
  CHECK(error_of("GIF89a...") == "f: isn't an image: expected JPEG, PNG or WebP");
  CHECK(error_of("RIFF....WAVE") == "f: isn't an image: expected JPEG, PNG or WebP");
  CHECK(error_of("") == "f: is empty, expected an image");
  CHECK(!error_of("\xff\xd8\xff").empty());
}

TEST_CASE("images: a JPEG without its last marker is refused, as Pillow does") {
  for (auto const& name : test::golden_image_names("jpeg_")) {
    INFO(name);
    auto const whole = read_file(test::golden_images() / name);
    for (std::size_t missing = 1; missing <= 5; ++missing)
      CHECK(error_of(whole.substr(0, whole.size() - missing)) == "f: JPEG: ends too early");
    CHECK(error_of(whole + "whatever follows") == "");
  }
}

TEST_CASE("images: a size that lies or exceeds the limits is refused before memory is allocated") {
  CHECK(error_of(png_header(100'000, 100'000)) ==
        "f: is an image of 100000 x 100000 pixels, expected at most 89478485");
  CHECK(error_of(png_header(0x7fffffff, 0x7fffffff)) ==
        "f: is an image of 2147483647 x 2147483647 pixels, expected at most 89478485");
  CHECK(error_of(png_header(0, 5)).starts_with("f: PNG: "));
  CHECK(error_of(png_header(5, 0x80000000)).starts_with("f: PNG: "));
  CHECK(error_of(png_header(9000, 9000)) == "f: PNG: ends too early");
  for (auto const* name :
       {"png_shape_61x47.png", "jpeg_420.jpg", "webp_lossless.webp", "webp_lossless_animated.webp"}) {
    INFO(name);
    auto const content = read_file(test::golden_images() / name);
    CHECK(error_of(content, {.most_pixels = 100}).find("expected at most 100") != std::string::npos);
    CHECK(error_of(content, {.most_bytes = 100}) ==
          "f: is " + std::to_string(content.size()) + " bytes, expected at most 100 of an image");
  }
  auto jpeg = read_file(test::golden_images() / "jpeg_420.jpg");
  auto const frame = jpeg.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // 65,500 x 65,500
  CHECK(error_of(jpeg) == "f: is an image of 65500 x 65500 pixels, expected at most 89478485");
}

TEST_CASE("images: a progressive JPEG with too many scans is refused") {
  auto const content = read_file(test::golden_images() / "jpeg_progressive.jpg");
  CHECK(error_of(content, {.most_scans = 3}) == "f: JPEG: has too many scans");
  CHECK(error_of(content) == "");
}

TEST_CASE("images: a file that ends anywhere is one line or a complete image") {
  for (auto const* name :
       {"png_color2_8bit.png", "png_interlaced_color2_8bit.png", "png_palette_4bit.png", "jpeg_grey_progressive.jpg",
        "jpeg_restart.jpg", "webp_lossless.webp", "webp_lossy_alpha.webp", "webp_lossless_animated.webp"}) {
    INFO(name);
    auto const whole = read_file(test::golden_images() / name);
    auto const image = embed::decode_image(bytes_of(whole), "f");
    for (std::size_t n = 0; n < whole.size(); ++n) {
      std::string const part = whole.substr(0, n);
      rgb_image read;
      auto const message = test::complaint<file_error>([&] { read = embed::decode_image(bytes_of(part), "f"); });
      if (message.empty() && !std::string_view(name).ends_with("animated.webp"))
        REQUIRE(read == image);  // only the end of the file is missing, behind the last pixel
      REQUIRE(message.find('\n') == std::string::npos);
      if (n < whole.size() / 2) REQUIRE(!message.empty());
    }
  }
}

TEST_CASE("images: damaged files are one line or some image" * doctest::test_suite("slow")) {
  random_stream random(11, 0);
  for (auto const& name : test::golden_image_names()) {
    INFO(name);
    auto const whole = read_file(test::golden_images() / name);
    for (int round = 0; round < 100; ++round) {
      std::string bytes = whole;
      for (index_t changes = 1 + random.below(3); changes > 0; --changes)
        bytes[to_size(random.below(std::ssize(bytes)))] = static_cast<char>(random.below(256));
      auto const message = error_of(bytes, {.most_pixels = 1'000'000});
      REQUIRE(message.find('\n') == std::string::npos);
      REQUIRE((message.empty() || message.starts_with("f: ")));
    }
  }
}

TEST_CASE("images: only regular files are read") {
  test::check_no_regular_file([](std::filesystem::path const& path) { (void)embed::read_image(path); });
}

#endif
