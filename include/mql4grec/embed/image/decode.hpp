#pragma once
// Decodes JPEG, PNG and WebP to RGB. The content decides the format, not the name. Pixels equal those of Pillow's
// Image.open(path).convert("RGB"), versions 11 and 13: JPEG within one level, because versions of libjpeg-turbo differ;
// PNG and lossless WebP exactly. As in Pillow,
//   - alpha and transparent colors are dropped, not blended;
//   - 16-bit grey is clipped at 255, while the other 16-bit formats keep the upper byte;
//   - CMYK and YCCK are inverted, as Adobe writes them, and converted without a color profile;
//   - the orientation in EXIF, gamma and color profiles are ignored;
//   - of an animation, the first frame is decoded.
// JPEG, PNG and WebP files are untrusted: every error is one line of file_error, and image_limits bound the memory.
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/image/image_limits.hpp"
#include "mql4grec/embed/image/rgb_image.hpp"

namespace mql4grec::embed {

/// The formats that decode_image reads.
enum class image_format {
  jpeg,  ///< begins with FF D8 FF
  png,   ///< begins with the eight bytes 89 "PNG" 0D 0A 1A 0A
  webp,  ///< begins with "RIFF", four bytes, "WEBP"
};

/// The format of a file by its first bytes. Throws file_error for anything else; `path` is for its message only.
[[nodiscard]] image_format format_of(std::span<std::byte const> content, std::filesystem::path const& path);

/// Decodes a whole file in memory. `path` is for messages only. Throws file_error when the content isn't an image of
/// one of the formats, is damaged or truncated, or exceeds the limits.
[[nodiscard]] rgb_image decode_image(std::span<std::byte const> content, std::filesystem::path const& path,
                                     image_limits const& limits = {});

/// Reads and decodes a file. Throws file_error like decode_image, and when the file can't be read.
[[nodiscard]] rgb_image read_image(std::filesystem::path const& path, image_limits const& limits = {});

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/image/decode.inl.hpp"
#endif
