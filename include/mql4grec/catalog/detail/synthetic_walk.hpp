#pragma once
// Generates the histories of synthetic users.
#include <algorithm>
#include <map>
#include <vector>

#include "mql4grec/catalog/detail/synthetic_items.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::catalog::detail {

/// A random walk from item to item. Most steps move three kinds on and keep the preference, so the last item determines
/// most of the next one. The remaining steps keep the best possible hit rate below 1.
class synthetic_walk {
 public:
  /// The items must outlive the walk.
  explicit synthetic_walk(std::vector<latent_item> const& items) : items_(items) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      exact_[items[i].factors].push_back(item_id(i));
      of_kind_[items[i].factors.kind].push_back(item_id(i));
      all_.push_back(item_id(i));
    }
  }

  /// `length` different items, at most as many as exist.
  std::vector<item_id> history(random_stream& random, index_t length) const {
    std::vector<item_id> taken;
    auto wish = items_[to_size(random.below(std::ssize(items_)))].factors;
    while (std::ssize(taken) < length) {
      taken.push_back(choose(wish, taken, random));
      step(wish, random);
    }
    return taken;
  }

 private:
  static void step(latent_factors& wish, random_stream& random) {
    auto const turn = random.uniform();
    if (turn < 0.7)
      wish.kind = (wish.kind + 3) % kinds_per_shop;
    else if (turn < 0.9)
      wish.kind = (wish.kind + 1) % kinds_per_shop;
    else
      wish.kind = random.below(kinds_per_shop);
    if (random.uniform() < 0.15) wish.material = random.below(std::ssize(synthetic_materials));
    if (random.uniform() < 0.2) wish.finish = (wish.finish + 1) % std::ssize(synthetic_finishes);
  }

  /// The item for the next step. Users never repeat an item: an unused item with the preferred factors, otherwise one
  /// of the same kind, otherwise any unused item.
  item_id choose(latent_factors const& wish, std::vector<item_id> const& taken, random_stream& random) const {
    if (auto const at = exact_.find(wish); at != exact_.end())
      if (auto const left = without(at->second, taken); !left.empty()) return any_of(left, random);
    if (auto const at = of_kind_.find(wish.kind); at != of_kind_.end())
      if (auto const left = without(at->second, taken); !left.empty()) return any_of(left, random);
    return any_of(without(all_, taken), random);
  }

  static std::vector<item_id> without(std::vector<item_id> items, std::vector<item_id> const& taken) {
    std::erase_if(items, [&](item_id item) { return std::ranges::find(taken, item) != taken.end(); });
    return items;
  }
  static item_id any_of(std::vector<item_id> const& items, random_stream& random) {
    return items[to_size(random.below(std::ssize(items)))];
  }

  std::vector<latent_item> const& items_;
  std::map<latent_factors, std::vector<item_id>> exact_;
  std::map<index_t, std::vector<item_id>> of_kind_;
  std::vector<item_id> all_;
};

}  // namespace mql4grec::catalog::detail
