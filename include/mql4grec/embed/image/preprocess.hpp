#pragma once
// From RGB pixels to the input of a vision transformer, as CLIPImageProcessor of transformers 4.45 does it: resize so
// that the short edge has a given length, crop the center, rescale, subtract the mean, divide by the deviation.
// CLIPImageProcessor guesses from its shape whether an array has its channels first, and so misreads images that are 1
// or 3 pixels high; results equal those of `input_data_format="channels_last"`.
#include <array>
#include <cmath>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/view.hpp"
#include "mql4grec/embed/image/resample.hpp"

namespace mql4grec::embed {

/// How an image is resized before it is cropped.
enum class image_resize {
  none,           ///< not at all
  shortest_edge,  ///< keeps the aspect ratio; see shortest_edge_size
  exact,          ///< to a width and height, whatever the aspect ratio
};

/// What happens to an image before the encoder; the defaults are those of CLIP.
/// read_image_preprocessing() reads it from a `preprocessor_config.json`.
struct image_preprocessing {
  image_resize resize = image_resize::shortest_edge;  ///< how the image is resized
  index_t shortest_edge = 224;                        ///< pixels, for image_resize::shortest_edge
  image_size exact_size = {224, 224};                 ///< for image_resize::exact
  image_size crop = {224, 224};                       ///< of the result; black is added where it is larger
  double rescale = 1 / 255.0;                         ///< factor of the 8-bit values
  std::array<float, 3> mean = {0.48145466f, 0.4578275f, 0.40821073f};        ///< subtracted from red, green, blue
  std::array<float, 3> deviation = {0.26862954f, 0.26130258f, 0.27577711f};  ///< divides what remains

  /// The number of floats of an image: 3 · height · width.
  index_t values() const { return 3 * crop.height * crop.width; }

  bool operator==(image_preprocessing const&) const = default;
};

/// The size with a short edge of `edge` pixels and the same aspect ratio; the long edge is truncated.
[[nodiscard]] inline image_size shortest_edge_size(image_size size, index_t edge) {
  auto const scaled = [&](index_t long_edge, index_t short_edge) {
    return static_cast<index_t>(static_cast<double>(edge * long_edge) / static_cast<double>(short_edge));
  };
  if (size.width <= size.height) return {edge, scaled(size.height, size.width)};
  return {scaled(size.width, size.height), edge};
}

/// Resizes and crops; the pixels are still 8-bit. Throws error for an empty image.
[[nodiscard]] inline rgb_image resize_and_crop(rgb_image const& image, image_preprocessing const& how) {
  expects(image.size.width > 0 && image.size.height > 0, "an image of ", image.size.width, " x ", image.size.height,
          " pixels can't be resized");
  auto size = image.size;
  if (how.resize == image_resize::shortest_edge) size = shortest_edge_size(size, how.shortest_edge);
  if (how.resize == image_resize::exact) size = how.exact_size;
  auto const floor_half = [](index_t n) { return n >> 1; };
  return resize_bicubic(image, size,
                        {floor_half(size.width - how.crop.width), floor_half(size.height - how.crop.height), how.crop});
}

/// Preprocesses an image to (3, crop.height, crop.width). Throws error for an empty image or another size of `out`.
inline void preprocess_image(rgb_image const& image, image_preprocessing const& how, host_vector_view<float> out) {
  expects(out.size() == how.values(), "an image of 3 x ", how.crop.height, " x ", how.crop.width,
          " values into a place for ", out.size());
  auto const cropped = resize_and_crop(image, how);
  index_t const plane = how.crop.height * how.crop.width;
  for (index_t c = 0; c < 3; ++c) {
    std::array<float, 256> values;
    for (std::size_t v = 0; v < values.size(); ++v)
      values[v] =
          (static_cast<float>(static_cast<double>(v) * how.rescale) - how.mean[to_size(c)]) / how.deviation[to_size(c)];
    auto const* pixel = cropped.pixels.data() + c;
    float* const to = out.data + c * plane;
    for (index_t i = 0; i < plane; ++i) to[i] = values[pixel[3 * i]];
  }
}

}  // namespace mql4grec::embed
