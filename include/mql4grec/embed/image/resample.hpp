#pragma once
// Bicubic resampling, bit for bit as Image.resize(size, Image.BICUBIC) of Pillow 11 (Resample.c) for RGB images: Keys'
// kernel with a = -1/2, widened by the scale when shrinking; weights normalized in double precision and rounded to
// fixed point; first along rows, then along columns, each rounded and clipped to 8 bits. Pillow 13 starts with the
// cheaper direction instead, which changes some pixels by one level. Only the pixels of a window are computed, so a
// crop after an extreme enlargement costs no more than the crop.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/embed/image/rgb_image.hpp"

namespace mql4grec::embed {

namespace detail {

/// Pillow's PRECISION_BITS: 8 bits of the pixel, 2 for the overshoot of the kernel, the others for the weight.
inline constexpr int weight_bits = 32 - 8 - 2;

/// The weights of the input pixels for `count` consecutive output pixels.
struct resample_weights {
  index_t taps = 0;                  ///< entries of `values` per output pixel; at least `lengths`
  std::vector<index_t> begins;       ///< (count) the first input pixel of each
  std::vector<index_t> lengths;      ///< (count) the number of input pixels
  std::vector<std::int32_t> values;  ///< (count, taps), in units of 2^-weight_bits
};

inline double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// The axis of a resampling: how `input` pixels become `output` pixels.
struct resample_axis {
  index_t input = 0, output = 0;

  bool changes() const { return input != output; }
  // Pillow's box is of floats, which matters above 2^24 pixels.
  double scale() const { return static_cast<double>(static_cast<float>(input)) / static_cast<double>(output); }
  double support() const { return 2.0 * std::max(scale(), 1.0); }
  index_t most_taps() const { return static_cast<index_t>(std::ceil(support())) * 2 + 1; }
  double center(index_t at) const { return (static_cast<double>(at) + 0.5) * scale(); }
  index_t begin(index_t at) const { return std::max<index_t>(0, static_cast<index_t>(center(at) - support() + 0.5)); }
  index_t end(index_t at) const { return std::min(input, static_cast<index_t>(center(at) + support() + 0.5)); }

  /// The weights of the output pixels first … first + count − 1. `to` keeps its memory between calls.
  void compute_weights(index_t first, index_t count, resample_weights& to) const {
    to.taps = std::min(most_taps(), input);
    to.begins.resize(to_size(count));
    to.lengths.resize(to_size(count));
    to.values.resize(to_size(count * to.taps));
    std::vector<double> exact(to_size(to.taps));
    double const shrink = 1.0 / std::max(scale(), 1.0);
    for (index_t i = 0; i < count; ++i) {
      index_t const from = begin(first + i), n = end(first + i) - from;
      double const middle = center(first + i);
      double sum = 0;
      for (index_t k = 0; k < n; ++k)
        sum += exact[to_size(k)] = bicubic((static_cast<double>(k + from) - middle + 0.5) * shrink);
      for (index_t k = 0; k < n; ++k) {
        double const weight = (sum != 0 ? exact[to_size(k)] / sum : exact[to_size(k)]) * (1 << weight_bits);
        to.values[to_size(i * to.taps + k)] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
      to.begins[to_size(i)] = from;
      to.lengths[to_size(i)] = n;
    }
  }
};

inline std::uint8_t clip_to_pixel(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255));
}
inline constexpr std::int32_t half_pixel = 1 << (weight_bits - 1);

/// Several rows of RGB pixels to fewer or more columns.
struct resample_rows_kernel {
  static constexpr index_t rows = 16;          ///< at once
  static constexpr index_t values = 3 * rows;  ///< of a column
  struct operands {
    resample_weights const& weights;
    std::uint8_t const* from;  // (columns, rows, 3)
    index_t first;             // the input column at `from`
    std::uint8_t* to;          // (outputs, rows, 3)
  };

  MQL4GREC_INLINE static void run(operands const* o) {
    auto const count = std::ssize(o->weights.begins);
    auto const* weights = o->weights.values.data();
    for (index_t i = 0; i < count; ++i, weights += o->weights.taps) {
      auto const* from = o->from + values * (o->weights.begins[to_size(i)] - o->first);
      auto const n = o->weights.lengths[to_size(i)];
      std::int32_t sums[values];
      for (std::int32_t& sum : sums) sum = half_pixel;
      for (index_t k = 0; k < n; ++k, from += values)
        for (index_t v = 0; v < values; ++v) sums[v] += from[v] * weights[k];
      for (index_t v = 0; v < values; ++v) o->to[values * i + v] = clip_to_pixel(sums[v]);
    }
  }
};

/// One row as the weighted sum of several, `stride` bytes apart.
struct resample_column_kernel {
  struct operands {
    std::int32_t const* weights;  // (taps)
    index_t taps;
    std::uint8_t const* from;  // (taps, bytes)
    index_t stride;
    std::uint8_t* to;  // (bytes)
    index_t bytes;
  };

  template <index_t Width>
  MQL4GREC_INLINE static void run_part(operands const* o, index_t x) {
    std::int32_t sums[to_size(Width)];
    for (std::int32_t& sum : sums) sum = half_pixel;
    for (index_t k = 0; k < o->taps; ++k) {
      auto const* from = o->from + k * o->stride + x;
      auto const weight = o->weights[k];
      for (index_t i = 0; i < Width; ++i) sums[i] += from[i] * weight;
    }
    for (index_t i = 0; i < Width; ++i) o->to[x + i] = clip_to_pixel(sums[i]);
  }
  MQL4GREC_INLINE static void run(operands const* o) {
    constexpr index_t wide = 4 * cpu::lanes;
    index_t x = 0;
    for (; x + wide <= o->bytes; x += wide) run_part<wide>(o, x);
    for (; x < o->bytes; ++x) run_part<1>(o, x);
  }
};

/// Pixels of an image: (size.height) rows, `stride` bytes apart.
struct pixel_rows {
  std::uint8_t const* pixels;
  image_size size;
  index_t stride;

  std::uint8_t const* row(index_t y) const { return pixels + y * stride; }
};

/// The pixels of `count` columns of at most 16 rows, side by side: (count, 16, 3). Rows that `from` doesn't have keep
/// what they had. Overwrites one byte after the last column, too.
inline void interleave_rows(pixel_rows from, index_t first, index_t count, std::uint8_t* to) {
  auto const* column = from.pixels + 3 * first;
  auto const copy = [&]<std::size_t Bytes>(std::integral_constant<std::size_t, Bytes>) {
    for (index_t r = 0; r < from.size.height; ++r) std::memcpy(to + 3 * r, column + r * from.stride, Bytes);
  };
  // Four bytes at once are fast; the fourth is overwritten by the next pixel. The last pixel of the image has only
  // three.
  for (index_t x = 0; x < count - 1; ++x, column += 3, to += resample_rows_kernel::values)
    copy(std::integral_constant<std::size_t, 4>());
  copy(std::integral_constant<std::size_t, 3>());
}

/// The columns first … first + count − 1 of the rows, resampled along x, to (rows, count) pixels.
inline void resample_rows(pixel_rows from, resample_axis axis, index_t first, rgb_image& to) {
  using kernel = resample_rows_kernel;
  index_t const rows = from.size.height, count = to.size.width;
  resample_weights weights;  // of a few columns at a time when there are many taps, so that memory stays small
  std::vector<std::uint8_t> inputs, outputs;
  index_t const block = std::clamp<index_t>((index_t{1} << 18) / axis.most_taps(), 1, count);
  for (index_t x = 0; x < count; x += block) {
    index_t const n = std::min(block, count - x);
    axis.compute_weights(first + x, n, weights);
    index_t const begin = weights.begins.front(), columns = axis.end(first + x + n - 1) - begin;
    inputs.resize(to_size(columns * kernel::values + 1));
    outputs.resize(to_size(n * kernel::values));
    for (index_t y = 0; y < rows; y += kernel::rows) {
      index_t const height = std::min(kernel::rows, rows - y);
      interleave_rows({from.row(y), {from.size.width, height}, from.stride}, begin, columns, inputs.data());
      kernel::operands const o{weights, inputs.data(), begin, outputs.data()};
      cpu::dispatch<kernel>(&o);
      for (index_t r = 0; r < height; ++r)
        for (index_t i = 0; i < n; ++i)
          std::memcpy(to.row(y + r) + 3 * (x + i), outputs.data() + kernel::values * i + 3 * r, 3);
    }
  }
}

/// The rows of the window within the resized image, resampled along y. Row 0 of `from` is the input's row `skipped`.
inline void resample_columns(pixel_rows from, resample_axis axis, index_t skipped, image_window inner, std::uint8_t* to,
                             index_t stride) {
  resample_weights weights;
  for (index_t y = 0; y < inner.size.height; ++y) {
    axis.compute_weights(inner.top + y, 1, weights);
    resample_column_kernel::operands const o{.weights = weights.values.data(),
                                             .taps = weights.lengths[0],
                                             .from = from.pixels + (weights.begins[0] - skipped) * from.stride,
                                             .stride = from.stride,
                                             .to = to + y * stride,
                                             .bytes = 3 * inner.size.width};
    cpu::dispatch<resample_column_kernel>(&o);
  }
}

/// The part of a window that lies inside an image.
inline image_window clip_window(image_window window, image_size size) {
  index_t const left = std::clamp<index_t>(window.left, 0, size.width);
  index_t const top = std::clamp<index_t>(window.top, 0, size.height);
  index_t const right = std::clamp(window.left + window.size.width, left, size.width);
  index_t const bottom = std::clamp(window.top + window.size.height, top, size.height);
  return {left, top, {right - left, bottom - top}};
}

}  // namespace detail

/// The most pixels that resize_bicubic writes, in its result or between its two passes: 2^28.
inline constexpr index_t most_resized_pixels = index_t{1} << 28;

/// Resizes an image to `size`, and returns the window of the result; what lies outside is black. Throws error for an
/// empty image or size, and for more than most_resized_pixels.
[[nodiscard]] inline rgb_image resize_bicubic(rgb_image const& image, image_size size, image_window window) {
  auto const area = [](image_size s) { return static_cast<double>(s.width) * static_cast<double>(s.height); };
  expects(image.size.width > 0 && image.size.height > 0 && size.width > 0 && size.height > 0, "an image of ",
          image.size.width, " x ", image.size.height, " pixels can't be resized to ", size.width, " x ", size.height);
  expects(std::ssize(image.pixels) == 3 * image.size.width * image.size.height, "an image of ", image.size.width, " x ",
          image.size.height, " pixels has ", image.pixels.size(), " values");
  expects(window.size.width >= 0 && window.size.height >= 0 &&
              area(window.size) <= static_cast<double>(most_resized_pixels),
          "a window of ", window.size.width, " x ", window.size.height, " pixels, expected at most ",
          most_resized_pixels, " in all");
  rgb_image result{window.size, std::vector<std::uint8_t>(to_size(3 * window.size.width * window.size.height))};
  auto const inner = detail::clip_window(window, size);
  if (inner.size.width == 0 || inner.size.height == 0) return result;
  detail::resample_axis const x{image.size.width, size.width}, y{image.size.height, size.height};

  // The input rows that the window needs.
  index_t const last = inner.top + inner.size.height - 1;
  index_t const first_row = y.changes() ? y.begin(inner.top) : inner.top;
  index_t const end_row = y.changes() ? y.end(last) : last + 1;
  detail::pixel_rows rows{image.row(first_row), {image.size.width, end_row - first_row}, 3 * image.size.width};
  rgb_image between;
  if (x.changes()) {
    between.size = {inner.size.width, rows.size.height};
    expects(area(between.size) <= static_cast<double>(most_resized_pixels), "an image of ", image.size.width, " x ",
            image.size.height, " pixels can't be resized to ", size.width, " x ", size.height, ": more than ",
            most_resized_pixels, " pixels between the two passes");
    between.pixels.resize(to_size(3 * between.size.width * between.size.height));
    detail::resample_rows(rows, x, inner.left, between);
    rows = {between.pixels.data(), between.size, 3 * between.size.width};
  } else {
    rows.pixels += 3 * inner.left;
  }
  std::uint8_t* const to = result.row(inner.top - window.top) + 3 * (inner.left - window.left);
  index_t const stride = 3 * window.size.width;
  if (y.changes()) {
    detail::resample_columns(rows, y, first_row, inner, to, stride);
  } else {
    for (index_t i = 0; i < inner.size.height; ++i)
      std::memcpy(to + i * stride, rows.pixels + i * rows.stride, to_size(3 * inner.size.width));
  }
  return result;
}

/// Resizes a whole image. Throws error as above.
[[nodiscard]] inline rgb_image resize_bicubic(rgb_image const& image, image_size size) {
  return resize_bicubic(image, size, {.size = size});
}

}  // namespace mql4grec::embed
