#pragma once
#include <cmath>
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/code_table.hpp"

namespace mql4grec {

/// How a level's codes are used by a catalogue.
struct level_usage {
  index_t codes = 0;      ///< K
  index_t used = 0;       ///< codes that at least one item has
  double perplexity = 0;  ///< e^entropy: as many codes used evenly would tell as much; 1 … K

  bool operator==(level_usage const&) const = default;
};

/// counts (K): items of each code.
inline level_usage usage_of(std::span<index_t const> counts) {
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

/// (levels)(K): how many items have each code.
inline std::vector<std::vector<index_t>> code_counts(code_table const& table) {
  std::vector<std::vector<index_t>> counts;
  for (auto const k : table.sizes()) counts.emplace_back(static_cast<std::size_t>(k), 0);
  for (index_t i = 0; i < table.items(); ++i) {
    auto const codes = table.of(item_id(i));
    for (std::size_t l = 0; l < codes.size(); ++l) ++counts[l][static_cast<std::size_t>(codes[l])];
  }
  return counts;
}

/// A level each.
inline std::vector<level_usage> code_usage(code_table const& table) {
  std::vector<level_usage> all;
  for (auto const& counts : code_counts(table)) all.push_back(usage_of(counts));
  return all;
}

}  // namespace mql4grec
