#pragma once
// PNG through libpng. Chunks that Pillow's convert("RGB") doesn't use (gamma, profiles, texts, transparency) are
// skipped unread, so none of them can make a file large in memory.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "mql4grec/embed/image/detail/image_source.hpp"

namespace mql4grec::embed::detail {

/// The pixels of the file: (height, row_bytes), before the conversion to RGB.
struct png_decoder {
  ::png_structp png = nullptr;
  ::png_infop info = nullptr;
  unsigned char const* next = nullptr;
  std::size_t left = 0;
  decoder_message message;
  image_size size;
  int depth = 0, color = 0;  // as in the file

  explicit png_decoder(image_source const& source) : next(source.bytes()), left(source.content.size()) {
    png = ::png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png) info = ::png_create_info_struct(png);
    expects_file(info != nullptr, source.path, "PNG: libpng can't be started");
  }
  png_decoder(png_decoder const&) = delete;
  png_decoder& operator=(png_decoder const&) = delete;
  ~png_decoder() { ::png_destroy_read_struct(&png, &info, nullptr); }

  static void on_error(::png_structp png, ::png_const_charp text) {
    static_cast<png_decoder*>(::png_get_error_ptr(png))->message.set(text);
    ::png_longjmp(png, 1);
  }
  static void on_warning(::png_structp, ::png_const_charp) {}
  static void read(::png_structp png, ::png_bytep to, std::size_t bytes) {
    auto& in = *static_cast<png_decoder*>(::png_get_io_ptr(png));
    if (bytes > in.left) ::png_error(png, "ends too early");
    std::memcpy(to, in.next, bytes);
    in.next += bytes;
    in.left -= bytes;
  }

  /// Reads all before the pixels. False: see `message`.
  [[nodiscard]] bool read_header() {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    ::png_set_read_fn(png, this, read);
    ::png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // image_limits are ours
    ::png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    ::png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, reinterpret_cast<::png_const_bytep>("tRNS"), 1);
    ::png_read_info(png, info);
    size = {static_cast<index_t>(::png_get_image_width(png, info)),
            static_cast<index_t>(::png_get_image_height(png, info))};
    depth = ::png_get_bit_depth(png, info);
    color = ::png_get_color_type(png, info);
    return true;
  }

  /// Decodes to 3 bytes per pixel, or 2 for 16-bit grey, which libpng would round otherwise than Pillow.
  [[nodiscard]] bool read_rows(std::uint8_t* to, index_t row_bytes, ::png_bytep* rows) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    bool const grey16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
    if (!grey16) {
      if (depth == 16) ::png_set_strip_16(png);
      ::png_set_expand(png);  // palettes to RGB, 1, 2 and 4 bits of grey to 8
      ::png_set_strip_alpha(png);
      ::png_set_gray_to_rgb(png);
    }
    int const passes = ::png_set_interlace_handling(png);
    ::png_read_update_info(png, info);
    if (static_cast<index_t>(::png_get_rowbytes(png, info)) != row_bytes) ::png_error(png, "rows of unexpected size");
    if (passes == 1) {
      for (index_t y = 0; y < size.height; ++y) ::png_read_row(png, to + y * row_bytes, nullptr);
      return true;
    }
    for (index_t y = 0; y < size.height; ++y) rows[y] = to + y * row_bytes;
    ::png_read_image(png, rows);
    return true;
  }
};

/// 16-bit grey, big-endian, to RGB in place: clipped at 255, as Pillow does. 2 of 3 bytes are used by the source.
inline void spread_grey16(rgb_image& image) {
  for (index_t i = image.size.width * image.size.height; i-- > 0;) {
    auto const* from = image.pixels.data() + 2 * i;
    auto const value = from[0] == 0 ? from[1] : std::uint8_t{255};
    std::fill_n(image.pixels.data() + 3 * i, 3, value);
  }
}

/// Decodes a PNG file. Throws file_error.
inline rgb_image decode_png(image_source const& source) {
  png_decoder decoder(source);
  auto const check = [&](bool done) { expects_file(done, source.path, "PNG: ", decoder.message.text.data()); };
  check(decoder.read_header());
  check_image_size(source, decoder.size);
  bool const grey16 = decoder.color == PNG_COLOR_TYPE_GRAY && decoder.depth == 16;
  auto image = make_image(decoder.size);
  std::vector<::png_bytep> rows(to_size(decoder.size.height));  // libpng wants them for interlaced files
  check(decoder.read_rows(image.pixels.data(), decoder.size.width * (grey16 ? 2 : 3), rows.data()));
  if (grey16) spread_grey16(image);
  return image;
}

}  // namespace mql4grec::embed::detail
