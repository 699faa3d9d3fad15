#pragma once
// What the decoders of all formats share. The C libraries report errors by longjmp. A function that calls setjmp, and
// everything between it and the error, has only trivial objects; what owns memory lives in its caller.
#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/embed/image/image_limits.hpp"
#include "mql4grec/embed/image/rgb_image.hpp"

namespace mql4grec::embed::detail {

/// The content of a file, its name for messages, and the limits.
struct image_source {
  std::span<std::byte const> content;
  std::filesystem::path const& path;
  image_limits const& limits;

  unsigned char const* bytes() const { return reinterpret_cast<unsigned char const*>(content.data()); }
};

/// A message of a C library, kept without memory of its own so that longjmp loses nothing.
struct decoder_message {
  std::array<char, 256> text{};

  void set(std::string_view from) {
    auto const n = std::min(from.size(), text.size() - 1);
    for (std::size_t i = 0; i < n; ++i) text[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
    text[n] = '\0';
  }
};

/// Throws file_error unless the size is allowed.
inline void check_image_size(image_source const& source, image_size size) {
  expects_file(size.width > 0 && size.height > 0, source.path, "is an image of ", size.width, " x ", size.height,
               " pixels, expected at least one");
  expects_file(size.width <= source.limits.most_pixels / size.height, source.path, "is an image of ", size.width, " x ",
               size.height, " pixels, expected at most ", source.limits.most_pixels);
}

/// An image of this size, its pixels zero.
inline rgb_image make_image(image_size size) {
  return {size, std::vector<std::uint8_t>(to_size(3 * size.width * size.height))};
}

}  // namespace mql4grec::embed::detail
