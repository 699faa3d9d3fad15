#pragma once
// The capacity of codebooks: expected before training from the sizes alone, and measured afterwards from the codes of a
// catalog.
#include <algorithm>
#include <cmath>

#include "mql4grec/quantize/collisions/collisions.hpp"

namespace mql4grec::quantize {

/// How full the prefixes of one level are. A prefix is the codes of all earlier levels. Its capacity is the product of
/// the sizes of this level and all later ones.
struct level_fill {
  index_t prefixes = 0;      ///< prefixes that at least one item has; 1 at level 0
  index_t fullest = 0;       ///< items of the fullest prefix
  double mean = 0;           ///< mean number of items per used prefix
  double fullest_share = 0;  ///< items of the fullest prefix / capacity of a prefix
  double full_share = 0;     ///< share of used prefixes that have at least as many items as their capacity

  bool operator==(level_fill const&) const = default;
};

/// The capacity of codebooks and, if a catalog exists, its use.
struct capacity_report {
  double log2_sequences = 0;  ///< log2 of the number of sequences M
  /// The expected number of items beyond the distinct sequences when n items choose uniformly: n − M (1 − (1 − 1/M)ⁿ).
  double expected_collisions = 0;
  std::vector<level_fill> levels;  ///< of a catalog; empty when there is none
  /// The catalog size at which the fullest prefix of the last level is full, if it grows in proportion; M without a
  /// catalog.
  double items_until_full = 0;

  bool operator==(capacity_report const&) const = default;
};

/// The expectation for n items that have no codes yet; `sizes` is K of each level.
[[nodiscard]] inline capacity_report expected_capacity(std::vector<index_t> const& sizes, index_t n) {
  capacity_report out;
  for (auto const k : sizes) out.log2_sequences += std::log2(static_cast<double>(k));
  double const m = std::exp2(out.log2_sequences), items = static_cast<double>(n);
  // Computed with logarithms, because 1 − 1/M rounds to 1 when M is large. When n ≪ M, the two terms cancel, and the
  // binomial series is used instead. The truncation error of the series is of the order of (n/M)², the cancellation
  // error of the formula is of the order of 10⁻¹⁶ M/n. Both are below 10⁻¹⁰.
  if (items > 1e-5 * m)
    out.expected_collisions = std::max(0.0, items + m * std::expm1(items * std::log1p(-1 / m)));
  else
    out.expected_collisions = items * (items - 1) / (2 * m) * (1 - (items - 2) / (3 * m));
  out.items_until_full = m;
  return out;
}

/// The capacity and its use for the codes of a catalog.
[[nodiscard]] inline capacity_report capacity_of(code_table const& table) {
  auto const order = detail::items_by_key(table);
  auto out = expected_capacity(table.sizes(), std::ssize(order));
  for (index_t level = 0; level < table.levels(); ++level) {
    double capacity = 1;
    for (index_t l = level; l < table.levels(); ++l) capacity *= static_cast<double>(table.size(l));
    level_fill fill;
    index_t full = 0;
    auto const prefix = [&](std::size_t i) { return table.of(order[i].item).first(to_size(level)); };
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && std::ranges::equal(prefix(end), prefix(begin))) ++end;
      auto const items = static_cast<index_t>(end - begin);
      ++fill.prefixes;
      fill.fullest = std::max(fill.fullest, items);
      full += static_cast<double>(items) >= capacity ? 1 : 0;
    }
    if (fill.prefixes > 0) {
      fill.mean = static_cast<double>(order.size()) / static_cast<double>(fill.prefixes);
      fill.fullest_share = static_cast<double>(fill.fullest) / capacity;
      fill.full_share = static_cast<double>(full) / static_cast<double>(fill.prefixes);
    }
    out.levels.push_back(fill);
  }
  if (!out.levels.empty() && out.levels.back().fullest > 0)
    out.items_until_full = static_cast<double>(order.size()) / out.levels.back().fullest_share;
  return out;
}

}  // namespace mql4grec::quantize
