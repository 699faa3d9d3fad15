#pragma once
// The built-in catalogue: shops small enough to learn in a minute or two on a CPU, made of latent factors that can be read in
// the titles, so that every stage runs without a download and its result can be judged by eye.
//
// An item is a kind, a material and a finish (and a series where those run out). Text says mostly the kind and images
// mostly the material, so each modality knows something the other is vague about. A user has a taste for a material and
// a finish that drifts, and walks from kind to kind by a rule all users of all domains share: the next item follows from
// the history, and hardly from how popular anything is.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "mql4grec/catalog/detail/synthetic_words.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/modality.hpp"
#include "mql4grec/core/array.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec {

struct synthetic_options {
  index_t domains = 1;  ///< at most 25: their kinds share one level of 256 codes
  index_t items = 400;  ///< of each domain; 400 are all the combinations, beyond that come series of each
  index_t users = 1500; ///< of each domain
  index_t min_length = 6, max_length = 14;  ///< items of a user; at most the domain's
  index_t text_width = 48, image_width = 32;
  double noise = 0.1;          ///< standard deviation beside factors of 1
  double missing_text = 0;     ///< probability that an item has no text
  double missing_image = 0;    ///< probability that an item has no image
  std::uint64_t seed = 42;
};

/// One domain. By modality, text first: features (items, width) and codes (items, 4), a readable stand-in for what the
/// quantizers learn: a sequence names one item, and codes mean the same in every domain. A missing modality is a row
/// of zeros and a row of −1.
struct synthetic_domain {
  std::string name;
  interactions histories;
  item_descriptions items;
  std::vector<host_array<float, 2>> features;
  std::vector<host_array<code_t, 2>> codes;
};

namespace detail {

enum class synthetic_stream : std::uint64_t { combinations = 0x51, users, meaning, noise, missing };

inline random_stream synthetic_random(std::uint64_t seed, synthetic_stream purpose, index_t a = 0, index_t b = 0) {
  return {seed, static_cast<std::uint64_t>(purpose) << 56 | static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint64_t>(b)};
}

inline constexpr index_t synthetic_kinds = std::ssize(synthetic_shops[0].kinds);
inline constexpr index_t synthetic_combinations =
    synthetic_kinds * std::ssize(synthetic_materials) * std::ssize(synthetic_finishes);

struct latent_factors {
  index_t kind, material, finish;
  auto operator<=>(latent_factors const&) const = default;
};
struct latent_item {
  latent_factors factors;
  index_t series;  // 0 unless the combinations have run out
};

inline std::vector<latent_item> synthetic_items(synthetic_options const& options, index_t domain) {
  std::vector<index_t> order(static_cast<std::size_t>(synthetic_combinations));
  for (index_t i = 0; i < synthetic_combinations; ++i) order[static_cast<std::size_t>(i)] = i;
  shuffle(std::span(order), synthetic_random(options.seed, synthetic_stream::combinations, domain));
  std::vector<latent_item> items;
  for (index_t i = 0; i < options.items; ++i) {
    auto const c = order[static_cast<std::size_t>(i % synthetic_combinations)];
    auto const finishes = std::ssize(synthetic_finishes);
    auto const materials = std::ssize(synthetic_materials);
    items.push_back({{c / (materials * finishes), c / finishes % materials, c % finishes}, i / synthetic_combinations});
  }
  return items;
}

inline item_description synthetic_description(synthetic_shop const& shop, std::string const& shop_name, latent_item const& item) {
  std::string const kind(shop.kinds[static_cast<std::size_t>(item.factors.kind)]);
  std::string const material(synthetic_materials[static_cast<std::size_t>(item.factors.material)]);
  std::string const finish(synthetic_finishes[static_cast<std::size_t>(item.factors.finish)]);
  auto const capital = [](std::string text) {
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    return text;
  };
  auto const series = item.series == 0 ? std::string() : ", series " + std::to_string(item.series + 1);
  return {capital(finish) + " " + material + " " + kind + series, "A " + finish + " " + kind + " made of " + material + series + ".",
          capital(material) + " Works", shop_name + "," + capital(kind)};
}

/// How strongly each factor shows in a modality's features.
struct factor_strengths {
  double kind, material, finish, series;
};
inline constexpr factor_strengths text_strengths{1.0, 0.5, 0.3, 0.2};
inline constexpr factor_strengths image_strengths{0.4, 1.0, 0.6, 0.2};

/// features(i) = Σ strength · meaning(factor's value) + noise; a value means the same random direction everywhere.
inline host_array<float, 2> synthetic_features(synthetic_options const& options, std::vector<latent_item> const& items,
                                               index_t domain, modality kind) {
  auto const width = kind == modality::text ? options.text_width : options.image_width;
  auto const strength = kind == modality::text ? text_strengths : image_strengths;
  host_array<float, 2> features({items.size(), static_cast<std::size_t>(width)});
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto const& [factors, series] = items[i];
    auto const meaning = [&](index_t factor, index_t value) {
      return synthetic_random(options.seed, synthetic_stream::meaning, index(kind) * 8 + factor, value);
    };
    auto kinds = meaning(0, domain * synthetic_kinds + factors.kind);
    auto materials = meaning(1, factors.material), finishes = meaning(2, factors.finish), of_series = meaning(3, series);
    auto noise = synthetic_random(options.seed, synthetic_stream::noise, domain * 8 + index(kind), static_cast<index_t>(i));
    for (std::size_t j = 0; j < static_cast<std::size_t>(width); ++j)
      features(i, j) = static_cast<float>(strength.kind * kinds.normal() + strength.material * materials.normal() +
                                          strength.finish * finishes.normal() + strength.series * of_series.normal() +
                                          options.noise * noise.normal());
  }
  return features;
}

/// The strongest factor first, as a residual quantizer would find them.
inline host_array<code_t, 2> synthetic_codes(std::vector<latent_item> const& items, index_t domain, modality kind) {
  host_array<code_t, 2> codes({items.size(), std::size_t{4}});
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto const& [factors, series] = items[i];
    auto const what = code_t(domain * synthetic_kinds + factors.kind);
    auto const material = code_t(factors.material), finish = code_t(factors.finish);
    codes(i, 0) = kind == modality::text ? what : material;
    codes(i, 1) = kind == modality::text ? material : finish;
    codes(i, 2) = kind == modality::text ? finish : what;
    codes(i, 3) = code_t(series);
  }
  return codes;
}

/// Where a walk may step: items by their factors, by their kind, and all of them.
class synthetic_walk {
 public:
  synthetic_walk(std::vector<latent_item> const& items) : items_(items) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      exact_[items[i].factors].push_back(item_id(i));
      of_kind_[items[i].factors.kind].push_back(item_id(i));
      all_.push_back(item_id(i));
    }
  }

  std::vector<item_id> history(random_stream& random, index_t length) const {
    std::vector<item_id> taken;
    latent_factors wish = items_[static_cast<std::size_t>(random.below(std::ssize(items_)))].factors;
    while (std::ssize(taken) < length) {
      taken.push_back(choose(wish, taken, random));
      step(wish, random);
    }
    return taken;
  }

 private:
  static void step(latent_factors& wish, random_stream& random) {
    auto const turn = random.uniform();
    wish.kind = turn < 0.7   ? (wish.kind + 3) % synthetic_kinds
                : turn < 0.9 ? (wish.kind + 1) % synthetic_kinds
                             : random.below(synthetic_kinds);
    if (random.uniform() < 0.15) wish.material = random.below(std::ssize(synthetic_materials));
    if (random.uniform() < 0.2) wish.finish = (wish.finish + 1) % std::ssize(synthetic_finishes);
  }

  /// Nobody takes an item twice: the wish itself, or else something of its kind, or else anything.
  item_id choose(latent_factors const& wish, std::vector<item_id> const& taken, random_stream& random) const {
    if (auto const at = exact_.find(wish); at != exact_.end())
      if (auto const left = without(at->second, taken); !left.empty()) return any(left, random);
    if (auto const at = of_kind_.find(wish.kind); at != of_kind_.end())
      if (auto const left = without(at->second, taken); !left.empty()) return any(left, random);
    return any(without(all_, taken), random);
  }

  static std::vector<item_id> without(std::vector<item_id> items, std::vector<item_id> const& taken) {
    std::erase_if(items, [&](item_id item) { return std::ranges::find(taken, item) != taken.end(); });
    return items;
  }
  static item_id any(std::vector<item_id> const& items, random_stream& random) {
    return items[static_cast<std::size_t>(random.below(std::ssize(items)))];
  }

  std::vector<latent_item> const& items_;
  std::map<latent_factors, std::vector<item_id>> exact_;
  std::map<index_t, std::vector<item_id>> of_kind_;
  std::vector<item_id> all_;
};

inline void remove_modalities(synthetic_options const& options, index_t domain, synthetic_domain& out) {
  auto random = synthetic_random(options.seed, synthetic_stream::missing, domain);
  for (std::size_t i = 0; i < out.items.size(); ++i) {
    bool const missing[] = {random.uniform() < options.missing_text, random.uniform() < options.missing_image};
    if (missing[0]) out.items[i].reset();
    for (std::size_t m = 0; m < 2; ++m) {
      if (!missing[m]) continue;
      for (std::size_t j = 0; j < out.features[m].shape(1); ++j) out.features[m](i, j) = 0;
      for (std::size_t j = 0; j < out.codes[m].shape(1); ++j) out.codes[m](i, j) = code_t{-1};
    }
  }
}

}  // namespace detail

/// One domain of the catalogue, the same on every machine for the same options.
inline synthetic_domain make_synthetic_domain(synthetic_options const& options, index_t domain) {
  expects(domain >= 0 && domain < 25, "synthetic domain ", domain, ", expected 0 to 24");
  expects(options.items >= 1 && options.items <= 256 * detail::synthetic_combinations, options.items, " synthetic items, expected 1 to ",
          256 * detail::synthetic_combinations);
  expects(0 <= options.min_length && options.min_length <= options.max_length && options.max_length <= options.items,
          "histories of ", options.min_length, " to ", options.max_length, " of ", options.items, " items");
  auto const& shop = detail::synthetic_shops[static_cast<std::size_t>(domain) % detail::synthetic_shops.size()];
  auto const round = domain / std::ssize(detail::synthetic_shops);
  synthetic_domain out;
  out.name = std::string(shop.name) + (round == 0 ? "" : std::to_string(round + 1));
  auto const items = detail::synthetic_items(options, domain);
  for (auto const& item : items) out.items.push_back(detail::synthetic_description(shop, out.name, item));
  for (auto const kind : {modality::text, modality::image}) {
    out.features.push_back(detail::synthetic_features(options, items, domain, kind));
    out.codes.push_back(detail::synthetic_codes(items, domain, kind));
  }
  detail::remove_modalities(options, domain, out);
  detail::synthetic_walk const walk(items);
  for (index_t u = 0; u < options.users; ++u) {
    auto random = detail::synthetic_random(options.seed, detail::synthetic_stream::users, domain, u);
    auto const length = options.min_length + random.below(options.max_length - options.min_length + 1);
    out.histories.add_user(std::to_string(u), walk.history(random, length));
  }
  out.histories.item_count = options.items;
  return out;
}

inline std::vector<synthetic_domain> make_synthetic_catalogue(synthetic_options const& options = {}) {
  std::vector<synthetic_domain> domains;
  for (index_t d = 0; d < options.domains; ++d) domains.push_back(make_synthetic_domain(options, d));
  return domains;
}

}  // namespace mql4grec
