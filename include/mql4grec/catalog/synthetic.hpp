#pragma once
// The built-in catalog: synthetic shops that a CPU can train on in a minute or two. Every stage runs on them without
// a download. Item titles contain the latent factors that items are generated from, so results can be judged by eye.
//
// An item is a kind, a material and a finish (and a series once all combinations are used up). Text features depend
// mostly on the kind, image features mostly on material and finish. A user has a preference that drifts, and moves from
// kind to kind by a rule that all users of all datasets share. So the next item follows from the history, and hardly
// from the popularity of items.
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

namespace mql4grec::catalog {

/// The size and the difficulty of the built-in catalog.
struct synthetic_options {
  index_t items = 400;       ///< 400 is every combination of factors, further items are series of these
  index_t users = 1500;      ///< their number
  index_t min_length = 6;    ///< shortest history of a user, in items
  index_t max_length = 14;   ///< longest history of a user, in items; at most `items`
  index_t text_width = 48;   ///< columns of the text features
  index_t image_width = 32;  ///< columns of the image features
  double noise = 0.1;        ///< standard deviation of the features' noise; that of the strongest factor is 1
  double missing_text = 0;   ///< probability that an item has no text
  double missing_image = 0;  ///< probability that an item has no image
  std::uint64_t seed = 42;   ///< of all random choices
};

/// One synthetic dataset. `features` and `codes` contain text at index 0 and images at index 1. The codes are a
/// readable substitute for those of a trained quantizer: four codes identify one item and have the same meaning in
/// every dataset. An item that lacks a modality has zero features and codes of −1 there. An item without text has no
/// description either.
struct synthetic_dataset {
  std::string name;                              ///< the shop's name, with a number from the second round of shops on
  mql4grec::catalog::interactions interactions;  ///< of every user
  item_descriptions items;                       ///< titles and other descriptions
  std::vector<host_array<float, 2>> features;    ///< (items, width) of text, then of images
  std::vector<host_array<code_t, 2>> codes;      ///< (items, 4) of text, then of images
};

namespace detail {

inline void check_synthetic(synthetic_options const& options, index_t dataset_number) {
  expects(dataset_number >= 0 && dataset_number < 25, "synthetic dataset ", dataset_number, ", expected 0 to 24");
  auto const most = 256 * factor_combinations;
  expects(options.items >= 1 && options.items <= most, options.items, " synthetic items, expected 1 to ", most);
  auto const [shortest, longest] = std::pair(options.min_length, options.max_length);
  expects(0 <= shortest && shortest <= longest && longest <= options.items, "histories of ", shortest, " to ", longest,
          " out of ", options.items, " items");
}

inline void remove_modalities(synthetic_options const& options, index_t dataset_number, synthetic_dataset& out) {
  auto random = synthetic_random(options.seed, synthetic_stream::missing, dataset_number);
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

/// Generates dataset number `dataset_number`, 0 … 24; there are no more, because the kinds of all datasets share the
/// 256 codes of one level. Equal options give equal datasets. Throws error when that number, the number of items or the
/// lengths of histories are out of range.
[[nodiscard]] inline synthetic_dataset make_synthetic_dataset(synthetic_options const& options,
                                                              index_t dataset_number) {
  detail::check_synthetic(options, dataset_number);
  auto const shops = std::ssize(detail::synthetic_shops);
  auto const& shop = detail::synthetic_shops[to_size(dataset_number % shops)];
  synthetic_dataset out;
  out.name = std::string(shop.name) + (dataset_number < shops ? "" : std::to_string(dataset_number / shops + 1));
  auto const items = detail::make_latent_items(options.seed, dataset_number, options.items);
  for (std::size_t i = 0; i < items.size(); ++i)
    out.items.emplace(item_id(i), detail::describe(shop, out.name, items[i]));
  for (index_t modality = 0; modality < 2; ++modality) {
    auto const width = modality == 0 ? options.text_width : options.image_width;
    out.features.push_back(
        detail::make_features(items, dataset_number, modality, {options.seed, width, options.noise}));
    out.codes.push_back(detail::make_codes(items, dataset_number, modality));
  }
  detail::remove_modalities(options, dataset_number, out);
  detail::synthetic_walk const walk(items);
  for (index_t u = 0; u < options.users; ++u) {
    auto random = detail::synthetic_random(options.seed, detail::synthetic_stream::users, dataset_number, u);
    auto const length = options.min_length + random.below(options.max_length - options.min_length + 1);
    out.interactions.add_user(std::to_string(u), walk.history(random, length));
  }
  out.interactions.item_count = options.items;  // the last items may have no interactions
  return out;
}

}  // namespace mql4grec::catalog
