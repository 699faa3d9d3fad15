#pragma once
// Draws the items of the built-in catalog. The material is the color, the finish the pattern and the background, the
// kind the shape: what the image features of catalog/synthetic.hpp depend on, in the same order of strength.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "mql4grec/catalog/detail/synthetic_items.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog::detail {

/// Red, green and blue in [0, 255].
using rgb_color = std::array<double, 3>;

inline constexpr std::array<rgb_color, synthetic_materials.size()> material_colors = {{{101, 67, 43},
                                                                                       {226, 190, 140},
                                                                                       {158, 58, 48},
                                                                                       {150, 172, 78},
                                                                                       {222, 178, 42},
                                                                                       {224, 122, 64},
                                                                                       {58, 64, 78},
                                                                                       {172, 182, 196}}};
inline constexpr std::array<rgb_color, synthetic_finishes.size()> background_colors = {
    {{246, 236, 214}, {222, 234, 248}, {236, 236, 236}, {252, 230, 240}, {222, 242, 226}}};

/// a for share 0, b for share 1.
inline rgb_color mixed(rgb_color const& a, rgb_color const& b, double share) {
  return {a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])};
}

/// The pattern of a finish at a point of the shape, whose radius is about 1: 0 is the color itself, 1 the lightest.
inline double pattern_at(index_t finish, double x, double y) {
  auto const cell = [](double t) { return static_cast<int>(std::floor(t)); };
  switch (finish) {
    case 0: return cell(5 * std::hypot(x, y)) % 2 == 0 ? 0 : 0.4;                                      // rings
    case 1: return std::hypot(5 * x - std::round(5 * x), 5 * y - std::round(5 * y)) < 0.3 ? 0.6 : 0;   // dots
    case 2: return 0.1;                                                                                // plain
    case 3: return std::abs(x + y + 0.5) < 0.25 ? 0.75 : std::clamp(0.25 - 0.25 * (x + y), 0.0, 0.5);  // a highlight
    default: return ((cell(3 * x) + cell(3 * y)) % 2 + 2) % 2 == 0 ? 0 : 0.35;                         // checks
  }
}

/// The outline of a kind: the radius in the direction `angle` from the top, at most 1. The kinds of a shop are polygons
/// and, by the shop, stars or flowers, with 3 to 7 corners or petals.
inline double outline_at(index_t shop, index_t kind, double angle) {
  auto const corners = static_cast<double>(3 + kind % 5);
  double const sector = 2 * std::numbers::pi / corners;
  double const within = angle - sector * std::floor(angle / sector);  // 0 at a corner
  if (kind < 5) return std::cos(sector / 2) / std::cos(within - sector / 2);
  if (shop % 2 == 0) return 0.75 + 0.25 * std::cos(corners * angle);
  double const to_corner = std::abs(within - sector / 2) / (sector / 2);  // 1 at a corner, 0 between two of them
  return 0.45 + 0.55 * to_corner * to_corner;
}

/// What one picture shows, and how it lies in it.
struct picture_of_item {
  latent_item item;
  index_t shop = 0;
  double tilt = 0, radius = 0.8;

  /// The color of a point in [−1, 1]².
  rgb_color at(double x, double y) const {
    auto const& main = material_colors[to_size(item.factors.material)];
    auto const& background = background_colors[to_size(item.factors.finish)];
    if (double const depth = depth_at(x, y); depth > 0) {
      if (depth < 0.09) return mixed(main, {20, 20, 24}, 0.5);
      return mixed(main, {255, 255, 255}, pattern_at(item.factors.finish, x / radius, y / radius));
    }
    bool const shadow = depth_at(x - 0.07, y - 0.09) > 0;
    return shadow ? mixed(background, {60, 60, 80}, 0.3) : mixed(background, {255, 255, 255}, -0.1 * y);
  }

 private:
  /// How far a point is inside the shape, as a share of the radius; negative outside.
  double depth_at(double x, double y) const {
    auto const distance = std::hypot(x, y) / radius;
    double const depth = outline_at(shop, item.factors.kind, std::atan2(x, -y) + tilt) - distance;
    return shop / 2 % 2 == 0 ? depth : std::min(depth, distance - 0.25);  // every other pair of shops: with a hole
  }
};

/// The pixels of an item's picture, (size, size, 3). Each item is tilted and scaled a little by `random`; the series is
/// a row of marks at the bottom, its binary digits.
inline std::vector<unsigned char> draw_item(latent_item const& item, index_t shop, random_stream random, index_t size) {
  picture_of_item const picture{
      .item = item, .shop = shop, .tilt = 0.3 * (random.uniform() - 0.5), .radius = 0.8 + 0.08 * random.uniform()};
  constexpr index_t samples = 3;  // a pixel is the mean of samples × samples points
  std::vector<unsigned char> pixels;
  pixels.reserve(to_size(size * size * 3));
  auto const position = [&](index_t sample) {
    return 2 * (static_cast<double>(sample) + 0.5) / static_cast<double>(size * samples) - 1;
  };
  for (index_t row = 0; row < size; ++row)
    for (index_t column = 0; column < size; ++column) {
      rgb_color sum = {};
      for (index_t s = 0; s < samples * samples; ++s) {
        auto const color = picture.at(position(samples * column + s % samples), position(samples * row + s / samples));
        for (std::size_t c = 0; c < 3; ++c) sum[c] += color[c] / (samples * samples);
      }
      index_t const mark = column / 4;  // 2 × 2 pixels each
      bool const marked = row >= size - 3 && row < size - 1 && column % 4 < 2 && mark < 16 && (item.series >> mark) % 2;
      for (double const c : sum) pixels.push_back(marked ? 40 : static_cast<unsigned char>(std::clamp(c, 0.0, 255.0)));
    }
  return pixels;
}

}  // namespace mql4grec::catalog::detail
