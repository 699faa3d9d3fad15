#pragma once
// Statistics of how often a catalog uses each code.
#include <cmath>
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/code_table.hpp"

namespace mql4grec::quantize {

/// The use of one level's codes.
struct level_usage {
  index_t codes = 0;  ///< K
  index_t used = 0;   ///< codes of at least one item
  /// e^entropy, 1 … K: the number of equally frequent codes with the same entropy. 0 without items.
  double perplexity = 0;

  bool operator==(level_usage const&) const = default;
};

/// The usage for counts (K), the number of items of each code.
[[nodiscard]] inline level_usage usage_of(std::span<index_t const> counts) {
  level_usage usage{.codes = std::ssize(counts)};
  double all = 0, entropy = 0;
  for (auto const n : counts) all += static_cast<double>(n);
  for (auto const n : counts) {
    if (n == 0) continue;
    ++usage.used;
    double const p = static_cast<double>(n) / all;
    entropy -= p * std::log(p);
  }
  usage.perplexity = all > 0 ? std::exp(entropy) : 0;
  return usage;
}

/// The number of items of each code: (levels)(K).
[[nodiscard]] inline std::vector<std::vector<index_t>> code_counts(code_table const& table) {
  std::vector<std::vector<index_t>> counts;
  for (auto const k : table.sizes()) counts.emplace_back(to_size(k), 0);
  for (index_t i = 0; i < table.items(); ++i) {
    auto const codes = table.of(item_id(i));
    for (std::size_t l = 0; l < codes.size(); ++l) ++counts[l][to_size(codes[l])];
  }
  return counts;
}

/// The usage of every level.
[[nodiscard]] inline std::vector<level_usage> code_usage(code_table const& table) {
  std::vector<level_usage> all;
  for (auto const& counts : code_counts(table)) all.push_back(usage_of(counts));
  return all;
}

}  // namespace mql4grec::quantize
