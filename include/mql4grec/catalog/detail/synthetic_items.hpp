#pragma once
// Generates items from latent factors: their names, their features, and the codes that an ideal quantizer would assign.
#include <array>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/catalog/items.hpp"
#include "mql4grec/core/array.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::catalog::detail {

/// One synthetic shop. Materials and finishes are the same in all shops, so a model can transfer them between datasets.
struct synthetic_shop {
  std::string_view name;
  std::array<std::string_view, 10> kinds;
};

inline constexpr std::array<synthetic_shop, 4> synthetic_shops = {{
    {"Instruments",
     {"acoustic guitar", "violin", "cello", "clarinet", "snare drum", "hand drum", "ukulele", "keyboard", "trumpet",
      "harmonica"}},
    {"Arts",
     {"brush set", "table easel", "sketchbook", "palette", "pencil case", "yarn bowl", "stamp kit", "picture frame",
      "knitting loom", "paper cutter"}},
    {"Games",
     {"chess set", "game controller", "headset", "dice tower", "card box", "arcade stick", "racing wheel", "domino set",
      "puzzle cube", "console stand"}},
    {"Kitchen",
     {"cutting board", "pepper mill", "tea kettle", "bread box", "mixing bowl", "serving tray", "knife block",
      "coffee grinder", "spice rack", "salad spoon"}},
}};
inline constexpr std::array<std::string_view, 8> synthetic_materials = {"walnut", "maple",  "cedar",  "bamboo",
                                                                        "brass",  "copper", "carbon", "silver"};
inline constexpr std::array<std::string_view, 5> synthetic_finishes = {"vintage", "compact", "matte", "glossy",
                                                                       "travel"};

inline constexpr index_t kinds_per_shop = std::ssize(synthetic_shops[0].kinds);
inline constexpr index_t factor_combinations =
    kinds_per_shop * std::ssize(synthetic_materials) * std::ssize(synthetic_finishes);

/// Purposes of random numbers. Streams of one seed never overlap: the top byte is the purpose, then follow 24 bits of
/// one number and 32 bits of another.
enum class synthetic_stream : std::uint64_t { combinations = 0x51, users, meaning, noise, missing, times, pictures };

inline random_stream synthetic_random(std::uint64_t seed, synthetic_stream purpose, index_t a = 0, index_t b = 0) {
  auto const top = static_cast<std::uint64_t>(purpose) << 56;
  return {seed, top | static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint64_t>(b)};
}

struct latent_factors {
  index_t kind, material, finish;
  auto operator<=>(latent_factors const&) const = default;
};

struct latent_item {
  latent_factors factors;
  index_t series;  ///< 0 as long as there are unused combinations
};

/// `count` different items of a dataset, in an order that depends on the seed and the dataset.
inline std::vector<latent_item> make_latent_items(std::uint64_t seed, index_t dataset_number, index_t count) {
  std::vector<index_t> order(to_size(factor_combinations));
  for (index_t i = 0; i < factor_combinations; ++i) order[to_size(i)] = i;
  shuffle(std::span(order), synthetic_random(seed, synthetic_stream::combinations, dataset_number));
  auto const finishes = std::ssize(synthetic_finishes);
  auto const materials = std::ssize(synthetic_materials);
  std::vector<latent_item> items;
  for (index_t i = 0; i < count; ++i) {
    auto const c = order[to_size(i % factor_combinations)];
    latent_factors const factors{c / (materials * finishes), c / finishes % materials, c % finishes};
    items.push_back({factors, i / factor_combinations});
  }
  return items;
}

/// The description of an item, with a title such as "Vintage walnut acoustic guitar".
inline item_description describe(synthetic_shop const& shop, std::string const& shop_name, latent_item const& item) {
  std::string const kind(shop.kinds[to_size(item.factors.kind)]);
  std::string const material(synthetic_materials[to_size(item.factors.material)]);
  std::string const finish(synthetic_finishes[to_size(item.factors.finish)]);
  auto const series = item.series == 0 ? std::string() : ", series " + std::to_string(item.series + 1);
  auto const capital = [](std::string text) {
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    return text;
  };
  return {.title = capital(finish) + " " + material + " " + kind + series,
          .description = "A " + finish + " " + kind + " made of " + material + series + ".",
          .brand = capital(material) + " Works",
          .categories = shop_name + "," + capital(kind)};
}

/// The weight of each factor in a modality's features: text depends mostly on the kind, images on material and finish.
struct factor_strengths {
  double kind, material, finish, series;
};
inline constexpr std::array<factor_strengths, 2> strengths_by_modality = {{{1.0, 0.5, 0.3, 0.2}, {0.4, 1.0, 0.6, 0.2}}};

struct feature_options {
  std::uint64_t seed;
  index_t width;
  double noise;
};

/// Features (items, width): Σ strength · direction of the factor's value + noise. A factor's value has the same random
/// direction in every dataset.
inline host_array<float, 2> make_features(std::vector<latent_item> const& items, index_t dataset_number,
                                          index_t modality, feature_options const& options) {
  auto const strength = strengths_by_modality[to_size(modality)];
  auto const direction = [&](index_t factor, index_t value) {
    return synthetic_random(options.seed, synthetic_stream::meaning, modality * 8 + factor, value);
  };
  host_array<float, 2> features({items.size(), to_size(options.width)});
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto const& [factors, number] = items[i];
    auto kind = direction(0, dataset_number * kinds_per_shop + factors.kind);
    auto material = direction(1, factors.material);
    auto finish = direction(2, factors.finish);
    auto series = direction(3, number);
    auto noise =
        synthetic_random(options.seed, synthetic_stream::noise, dataset_number * 8 + modality, static_cast<index_t>(i));
    for (std::size_t j = 0; j < features.shape(1); ++j)
      features(i, j) = static_cast<float>(strength.kind * kind.normal() + strength.material * material.normal() +
                                          strength.finish * finish.normal() + strength.series * series.normal() +
                                          options.noise * noise.normal());
  }
  return features;
}

/// Codes (items, 4), with the modality's strongest factor at the first level, as a residual quantizer would assign
/// them.
inline host_array<code_t, 2> make_codes(std::vector<latent_item> const& items, index_t dataset_number,
                                        index_t modality) {
  host_array<code_t, 2> codes({items.size(), std::size_t{4}});
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto const& [factors, series] = items[i];
    auto const kind = dataset_number * kinds_per_shop + factors.kind;
    std::array<index_t, 4> const text = {kind, factors.material, factors.finish, series};
    std::array<index_t, 4> const image = {factors.material, factors.finish, kind, series};
    for (std::size_t level = 0; level < 4; ++level) codes(i, level) = code_t((modality == 0 ? text : image)[level]);
  }
  return codes;
}

}  // namespace mql4grec::catalog::detail
