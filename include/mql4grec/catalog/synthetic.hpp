#pragma once
// The built-in catalogue: shops small enough to learn in a minute or two on a CPU, made of latent factors that can be
// read in the titles, so that every stage runs without a download and its result can be judged by eye.
//
// An item is a kind, a material and a finish (and a series once those have run out). Text says mostly the kind, images
// mostly the looks. A user has a taste that drifts, and walks from kind to kind by a rule that all users of all domains
// share: the next item follows from the history, and hardly from how popular anything is.
#include <cstdint>
#include <string>
#include <vector>

#include "mql4grec/catalog/detail/synthetic_items.hpp"
#include "mql4grec/catalog/detail/synthetic_walk.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/core/array.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

struct synthetic_options {
  index_t domains = 1;       ///< at most 25: their kinds share the 256 codes of one level
  index_t items = 400;       ///< of each domain; 400 is every combination, beyond that come series of each
  index_t users = 1500;      ///< of each domain
  index_t min_length = 6;    ///< items of a user, at least
  index_t max_length = 14;   ///< and at most, itself at most `items`
  index_t text_width = 48;   ///< columns of the text features
  index_t image_width = 32;  ///< and of the image features
  double noise = 0.1;        ///< its standard deviation in the features, whose strongest factor has 1
  double missing_text = 0;   ///< probability that an item has no text
  double missing_image = 0;  ///< probability that an item has no image
  std::uint64_t seed = 42;
};

/// One domain. Text stands first and images second in `features` (items, width) and in `codes` (items, 4), a readable
/// stand-in for what the quantizers learn: four codes name one item, and mean the same in every domain. Where an item
/// lacks a modality its features are zeros, its codes −1; without text it has no description either.
struct synthetic_domain {
  std::string name;
  interactions histories;
  item_descriptions items;
  std::vector<host_array<float, 2>> features;
  std::vector<host_array<code_t, 2>> codes;
};

namespace detail {

inline void check_synthetic(synthetic_options const& options, index_t domain) {
  expects(domain >= 0 && domain < 25, "synthetic domain ", domain, ", expected 0 to 24");
  auto const most = 256 * factor_combinations;
  expects(options.items >= 1 && options.items <= most, options.items, " synthetic items, expected 1 to ", most);
  auto const [shortest, longest] = std::pair(options.min_length, options.max_length);
  expects(0 <= shortest && shortest <= longest && longest <= options.items, "histories of ", shortest, " to ", longest,
          " out of ", options.items, " items");
}

inline void remove_modalities(synthetic_options const& options, index_t domain, synthetic_domain& out) {
  auto random = synthetic_random(options.seed, synthetic_stream::missing, domain);
  for (std::size_t i = 0; i < out.codes.front().shape(0); ++i) {
    bool const missing[] = {random.uniform() < options.missing_text, random.uniform() < options.missing_image};
    if (missing[0]) out.items.erase(item_id(i));
    for (std::size_t m = 0; m < 2; ++m) {
      if (!missing[m]) continue;
      for (std::size_t j = 0; j < out.features[m].shape(1); ++j) out.features[m](i, j) = 0;
      for (std::size_t j = 0; j < out.codes[m].shape(1); ++j) out.codes[m](i, j) = code_t{-1};
    }
  }
}

}  // namespace detail

/// One domain of the catalogue; the same options give the same one.
inline synthetic_domain make_synthetic_domain(synthetic_options const& options, index_t domain) {
  detail::check_synthetic(options, domain);
  auto const shops = std::ssize(detail::synthetic_shops);
  auto const& shop = detail::synthetic_shops[static_cast<std::size_t>(domain % shops)];
  synthetic_domain out;
  out.name = std::string(shop.name) + (domain < shops ? "" : std::to_string(domain / shops + 1));
  auto const items = detail::make_latent_items(options.seed, domain, options.items);
  for (std::size_t i = 0; i < items.size(); ++i)
    out.items.emplace(item_id(i), detail::describe(shop, out.name, items[i]));
  for (index_t modality = 0; modality < 2; ++modality) {
    auto const width = modality == 0 ? options.text_width : options.image_width;
    out.features.push_back(detail::make_features(items, domain, modality, {options.seed, width, options.noise}));
    out.codes.push_back(detail::make_codes(items, domain, modality));
  }
  detail::remove_modalities(options, domain, out);
  detail::synthetic_walk const walk(items);
  for (index_t u = 0; u < options.users; ++u) {
    auto random = detail::synthetic_random(options.seed, detail::synthetic_stream::users, domain, u);
    auto const length = options.min_length + random.below(options.max_length - options.min_length + 1);
    out.histories.add_user(std::to_string(u), walk.history(random, length));
  }
  out.histories.item_count = options.items;  // the last ones may have been taken by nobody
  return out;
}

inline std::vector<synthetic_domain> make_synthetic_catalogue(synthetic_options const& options = {}) {
  std::vector<synthetic_domain> domains;
  for (index_t d = 0; d < options.domains; ++d) domains.push_back(make_synthetic_domain(options, d));
  return domains;
}

}  // namespace mql4grec
