#pragma once
// WebP through libwebp; the first frame of an animation through libwebpdemux.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "mql4grec/embed/image/detail/image_source.hpp"

namespace mql4grec::embed::detail {

/// What a status of libwebp means.
inline char const* webp_status_text(::VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY: return "needs too much memory";
    case VP8_STATUS_NOT_ENOUGH_DATA: return "ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "has an unsupported feature";
    default: return "is damaged";
  }
}

/// The first frame of an animation, on its canvas. Throws file_error.
inline void decode_first_webp_frame(image_source const& source, rgb_image& image) {
  ::WebPData const data{source.bytes(), source.content.size()};
  ::WebPAnimDecoderOptions options;
  bool const started = ::WebPAnimDecoderOptionsInit(&options) != 0;
  if (started) options.color_mode = MODE_RGBA;
  std::unique_ptr<::WebPAnimDecoder, decltype(&::WebPAnimDecoderDelete)> const decoder(
      started ? ::WebPAnimDecoderNew(&data, &options) : nullptr, &::WebPAnimDecoderDelete);
  ::WebPAnimInfo canvas;
  std::uint8_t* frame = nullptr;
  int time = 0;
  expects_file(decoder && ::WebPAnimDecoderGetInfo(decoder.get(), &canvas) != 0 &&
                   image.size == image_size{canvas.canvas_width, canvas.canvas_height} &&
                   ::WebPAnimDecoderGetNext(decoder.get(), &frame, &time) != 0,
               source.path, "WebP: the first frame of the animation is damaged");
  for (index_t i = 0; i < image.size.width * image.size.height; ++i)
    std::copy_n(frame + 4 * i, 3, image.pixels.data() + 3 * i);
}

/// Decodes a WebP file. Throws file_error.
inline rgb_image decode_webp(image_source const& source) {
  ::WebPBitstreamFeatures features;
  auto const status = ::WebPGetFeatures(source.bytes(), source.content.size(), &features);
  expects_file(status == VP8_STATUS_OK, source.path, "WebP: ", webp_status_text(status));
  image_size const size{features.width, features.height};
  check_image_size(source, size);
  auto image = make_image(size);
  if (features.has_animation) {
    decode_first_webp_frame(source, image);
    return image;
  }
  ::WebPDecoderConfig config;
  expects_file(::WebPInitDecoderConfig(&config) != 0, source.path, "WebP: libwebp can't be started");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), static_cast<int>(3 * size.width), image.pixels.size()};
  auto const decoded = ::WebPDecode(source.bytes(), source.content.size(), &config);
  ::WebPFreeDecBuffer(&config.output);
  expects_file(decoded == VP8_STATUS_OK, source.path, "WebP: ", webp_status_text(decoded));
  return image;
}

}  // namespace mql4grec::embed::detail
