#pragma once
// The definitions of embed/image/decode.hpp.
#include <cstring>
#include <string>
#include <vector>

#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/embed/image/decode.hpp"
#if MQL4GREC_HAS_IMAGES
#include "mql4grec/embed/image/detail/jpeg.hpp"
#include "mql4grec/embed/image/detail/png.hpp"
#include "mql4grec/embed/image/detail/webp.hpp"
#endif

namespace mql4grec::embed {

MQL4GREC_DEFINITION image_format format_of(std::span<std::byte const> content, std::filesystem::path const& path) {
  std::string_view const text(reinterpret_cast<char const*>(content.data()), content.size());
  if (text.starts_with("\xff\xd8\xff")) return image_format::jpeg;
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return image_format::png;
  if (text.starts_with("RIFF") && text.size() >= 12 && text.substr(8, 4) == "WEBP") return image_format::webp;
  expects_file(!text.empty(), path, "is empty, expected an image");
  raise<file_error>(path.string(), ": isn't an image: expected JPEG, PNG or WebP");
}

MQL4GREC_DEFINITION rgb_image decode_image(std::span<std::byte const> content, std::filesystem::path const& path,
                                           image_limits const& limits) {
  auto const format = format_of(content, path);
  expects_file(std::ssize(content) <= limits.most_bytes, path, "is ", content.size(), " bytes, expected at most ",
               limits.most_bytes, " of an image");
#if MQL4GREC_HAS_IMAGES
  detail::image_source const source{content, path, limits};
  switch (format) {
    case image_format::jpeg: return detail::decode_jpeg(source);
    case image_format::png: return detail::decode_png(source);
    case image_format::webp: return detail::decode_webp(source);
  }
#endif
  static_cast<void>(format);
  raise<file_error>(path.string(), ": can't be decoded: this program was built without libraries for images");
}

// Not memory-mapped: images are small, and a file that becomes shorter while it is read must not end the program.
MQL4GREC_DEFINITION rgb_image read_image(std::filesystem::path const& path, image_limits const& limits) {
  core::detail::input_file const file(path);
  expects_file(file.size() <= limits.most_bytes, path, "is ", file.size(), " bytes, expected at most ",
               limits.most_bytes, " of an image");
  std::vector<std::byte> content(to_size(file.size()));
  file.read(0, content.data(), file.size());
  return decode_image(content, path, limits);
}

}  // namespace mql4grec::embed
