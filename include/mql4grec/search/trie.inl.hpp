#pragma once
// The definitions of search/trie.hpp.
#include <algorithm>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

MQL4GREC_DEFINITION item_trie::item_trie(language::token_table const& table)
    : levels_(table.levels()), items_(table.present().begin(), table.present().end()) {
  std::ranges::stable_sort(
      items_, [&](item_id a, item_id b) { return std::ranges::lexicographical_compare(table.of(a), table.of(b)); });
  expects(std::ssize(items_) * (levels_ + 1) < (index_t{1} << 31), "trie: ", items_.size(),
          " items don't fit 32-bit nodes");

  first_child_.clear();
  std::vector<node_t> path(items_.size(), 0);  // the node of each item at the level reached
  for (index_t level = 0; level < levels_; ++level) {
    auto const begin = static_cast<node_t>(first_child_.size()), end = static_cast<node_t>(token_.size());
    std::size_t i = 0;
    for (node_t node = begin; node < end; ++node) {
      first_child_.push_back(static_cast<node_t>(token_.size()));
      while (i < items_.size() && path[i] == node) {
        token_t const next = table.of(items_[i])[to_size(level)];
        if (first_child_.back() == static_cast<node_t>(token_.size()) || token_.back() != next) {
          token_.push_back(next);
          parent_.push_back(node);
        }
        path[i++] = static_cast<node_t>(token_.size()) - 1;
      }
    }
  }
  first_child_.resize(token_.size() + 1, static_cast<node_t>(token_.size()));
  for (std::size_t i = 1; i <= items_.size(); ++i)
    if (i == items_.size() || path[i] != path[i - 1]) item_offsets_.push_back(static_cast<index_t>(i));
}

}  // namespace mql4grec::search
