#pragma once
// How much room the codes have: before training from their numbers alone, afterwards from how a catalogue uses them.
#include <algorithm>
#include <cmath>

#include "mql4grec/quantize/collisions/collisions.hpp"

namespace mql4grec {

/// How full the prefixes of a level are. A prefix is the codes before the level; it holds the product of the sizes from
/// there on.
struct level_fill {
  index_t prefixes = 0;      ///< that some item has; 1 at level 0
  index_t fullest = 0;       ///< items behind the fullest prefix
  double mean = 0;           ///< items behind a prefix, over the prefixes that are used
  double fullest_share = 0;  ///< of what that prefix can hold
  double full_share = 0;     ///< prefixes with as many items as they can hold, of those used

  bool operator==(level_fill const&) const = default;
};

struct capacity_report {
  double log2_sequences = 0;  ///< of the number of sequences there are
  double expected_collisions =
      0;  ///< items beyond the distinct sequences when n items choose evenly: n − M (1 − (1 − 1/M)ⁿ)
  std::vector<level_fill> levels;  ///< of a catalogue; none before there is one
  double items_until_full =
      0;  ///< catalogue size at which the fullest prefix of the last level is full, if it goes on growing in proportion

  bool operator==(capacity_report const&) const = default;
};

/// Of n items that are still to be translated.
inline capacity_report expected_capacity(std::vector<index_t> const& sizes, index_t n) {
  capacity_report out;
  for (auto const k : sizes) out.log2_sequences += std::log2(static_cast<double>(k));
  double const m = std::exp2(out.log2_sequences), items = static_cast<double>(n);
  // By way of logarithms, since 1/M is lost in 1 − 1/M when M is large. Where n is far below M the two terms cancel,
  // and the binomial series takes over: what is left out of it is of the order of (n/M)², what is lost to cancelling of
  // 10⁻¹⁶ M/n, both below 10⁻¹⁰.
  if (items > 1e-5 * m)
    out.expected_collisions = std::max(0.0, items + m * std::expm1(items * std::log1p(-1 / m)));
  else
    out.expected_collisions = items * (items - 1) / (2 * m) * (1 - (items - 2) / (3 * m));
  out.items_until_full = m;
  return out;
}

/// Of a catalogue as it is.
inline capacity_report capacity_of(code_table const& table) {
  auto const order = detail::items_by_key(table);
  auto out = expected_capacity(table.sizes(), std::ssize(order));
  for (index_t level = 0; level < table.levels(); ++level) {
    double room = 1;
    for (index_t l = level; l < table.levels(); ++l) room *= static_cast<double>(table.size(l));
    level_fill fill;
    index_t full = 0;
    auto const prefix = [&](std::size_t i) { return table.of(order[i].item).first(static_cast<std::size_t>(level)); };
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && std::ranges::equal(prefix(end), prefix(begin))) ++end;
      auto const items = static_cast<index_t>(end - begin);
      ++fill.prefixes;
      fill.fullest = std::max(fill.fullest, items);
      full += static_cast<double>(items) >= room ? 1 : 0;
    }
    if (fill.prefixes > 0) {
      fill.mean = static_cast<double>(order.size()) / static_cast<double>(fill.prefixes);
      fill.fullest_share = static_cast<double>(fill.fullest) / room;
      fill.full_share = static_cast<double>(full) / static_cast<double>(fill.prefixes);
    }
    out.levels.push_back(fill);
  }
  if (!out.levels.empty() && out.levels.back().fullest > 0)
    out.items_until_full = static_cast<double>(order.size()) / out.levels.back().fullest_share;
  return out;
}

}  // namespace mql4grec
