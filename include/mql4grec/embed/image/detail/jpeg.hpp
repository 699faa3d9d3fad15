#pragma once
// JPEG through libjpeg (libjpeg-turbo), with Pillow's settings: the accurate integer DCT and smooth upsampling.
#include <cstdio>
// jpeglib.h needs <cstdio> before it
#include <jpeglib.h>

#include <csetjmp>

#include "mql4grec/embed/image/detail/image_source.hpp"

namespace mql4grec::embed::detail {

/// A decompressor with its error handler. Both pointers to it that libjpeg keeps are to its first members.
struct jpeg_decoder {
  ::jpeg_error_mgr errors{};       // first: libjpeg passes a pointer to it
  ::jpeg_progress_mgr progress{};  // called once per row of blocks and scan
  ::jpeg_source_mgr input{};
  ::jpeg_decompress_struct info{};
  std::jmp_buf failed;
  decoder_message message;
  int most_scans = 0;

  explicit jpeg_decoder(image_source const& source) : most_scans(source.limits.most_scans) {
    info.err = ::jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](::j_common_ptr common) {
      char text[JMSG_LENGTH_MAX];
      common->err->format_message(common, text);
      self(common).fail(text);
    };
    errors.emit_message = [](::j_common_ptr, int) {};  // warnings: as Pillow, decoding goes on
    errors.output_message = [](::j_common_ptr) {};
    progress.progress_monitor = [](::j_common_ptr common) {
      auto& decoder = self(common);
      if (decoder.info.input_scan_number > decoder.most_scans) decoder.fail("has too many scans");
    };
    input.next_input_byte = source.bytes();
    input.bytes_in_buffer = source.content.size();
    input.init_source = [](::j_decompress_ptr) {};
    input.term_source = [](::j_decompress_ptr) {};
    input.resync_to_restart = ::jpeg_resync_to_restart;
    input.fill_input_buffer = [](::j_decompress_ptr d) -> ::boolean {
      self(reinterpret_cast<::j_common_ptr>(d)).fail("ends too early");
    };
    input.skip_input_data = [](::j_decompress_ptr d, long bytes) {
      if (bytes <= 0) return;
      auto& in = *d->src;
      if (static_cast<std::size_t>(bytes) > in.bytes_in_buffer)
        self(reinterpret_cast<::j_common_ptr>(d)).fail("ends too early");
      in.next_input_byte += bytes;
      in.bytes_in_buffer -= static_cast<std::size_t>(bytes);
    };
  }
  jpeg_decoder(jpeg_decoder const&) = delete;
  jpeg_decoder& operator=(jpeg_decoder const&) = delete;
  ~jpeg_decoder() { ::jpeg_destroy_decompress(&info); }  // also before jpeg_create_decompress: info is zero

  static jpeg_decoder& self(::j_common_ptr common) { return *static_cast<jpeg_decoder*>(common->client_data); }
  [[noreturn]] void fail(char const* text) {
    message.set(text);
    std::longjmp(failed, 1);
  }

  /// Reads the header. False: see `message`.
  [[nodiscard]] bool read_header() {
    if (setjmp(failed) != 0) return false;
    jpeg_create_decompress(&info);  // keeps err and client_data
    info.src = &input;
    info.progress = &progress;
    ::jpeg_read_header(&info, TRUE);
    info.dct_method = JDCT_ISLOW;
    info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;  // grey becomes RGB in libjpeg-turbo
    return true;
  }

  /// Decodes all rows to `image`, those of CMYK through `cmyk`, (width, 4). What follows the last row isn't read, as in
  /// Pillow, but decoding that row looks ahead to the marker at the file's end, so a file without it ends too early.
  [[nodiscard]] bool read_rows(rgb_image& image, std::uint8_t* cmyk) {
    if (setjmp(failed) != 0) return false;
    ::jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      ::JSAMPROW row = cmyk ? cmyk : image.row(info.output_scanline);
      auto const y = info.output_scanline;
      ::jpeg_read_scanlines(&info, &row, 1);
      if (cmyk) store_cmyk(cmyk, image.row(y), image.size.width);
    }
    return true;
  }

  /// Inverted CMYK, as Adobe writes it, to RGB with the arithmetic of Pillow's cmyk2rgb.
  static void store_cmyk(std::uint8_t const* from, std::uint8_t* to, index_t pixels) {
    for (index_t i = 0; i < pixels; ++i, from += 4, to += 3) {
      int const black = from[3];
      for (int c = 0; c < 3; ++c) {
        int const product = (255 - from[c]) * black + 128;  // divided by 255 and rounded
        to[c] = static_cast<std::uint8_t>(std::clamp(black - ((product + (product >> 8)) >> 8), 0, 255));
      }
    }
  }
};

/// Decodes a JPEG file. Throws file_error.
inline rgb_image decode_jpeg(image_source const& source) {
  jpeg_decoder decoder(source);
  auto const check = [&](bool done) { expects_file(done, source.path, "JPEG: ", decoder.message.text.data()); };
  check(decoder.read_header());
  auto const& info = decoder.info;
  expects_file(info.num_components == 1 || info.num_components == 3 || info.num_components == 4, source.path,
               "JPEG: has ", info.num_components, " components, expected 1, 3 or 4");
  image_size const size{static_cast<index_t>(info.image_width), static_cast<index_t>(info.image_height)};
  check_image_size(source, size);
  auto image = make_image(size);
  std::vector<std::uint8_t> cmyk(info.num_components == 4 ? to_size(4 * size.width) : 0);
  check(decoder.read_rows(image, cmyk.empty() ? nullptr : cmyk.data()));
  return image;
}

}  // namespace mql4grec::embed::detail
