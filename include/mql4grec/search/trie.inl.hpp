#pragma once
// The definitions of search/trie.hpp.
#include <algorithm>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

MQL4GREC_DEFINITION item_trie::item_trie(std::span<language::token_table const* const> tables)
    : roots_(std::ssize(tables)), parent_(tables.size(), -1), token_(tables.size(), token_t{-1}) {
  expects(!tables.empty(), "trie: no token table");
  struct place {
    language::token_table const* table;
    node_t node;  // the node at the level reached
  };
  std::vector<place> path;  // of each item
  levels_ = tables.front()->levels();
  for (node_t root = 0; root < roots_; ++root) {
    auto const* const table = tables[to_size(root)];
    expects(table->levels() == levels_, "trie: tables of ", levels_, " and of ", table->levels(), " levels");
    auto const first = items_.insert(items_.end(), table->present().begin(), table->present().end());
    std::stable_sort(first, items_.end(), [&](item_id a, item_id b) {
      return std::ranges::lexicographical_compare(table->of(a), table->of(b));
    });
    path.resize(items_.size(), {table, root});
  }
  expects(std::ssize(items_) * (levels_ + 1) + roots_ < first_added_node, "trie: ", items_.size(),
          " items may have more than ", first_added_node, " nodes");

  first_child_.clear();
  for (index_t level = 0; level < levels_; ++level) {
    auto const begin = static_cast<node_t>(first_child_.size()), end = static_cast<node_t>(token_.size());
    std::size_t i = 0;
    for (node_t node = begin; node < end; ++node) {
      first_child_.push_back(static_cast<node_t>(token_.size()));
      while (i < items_.size() && path[i].node == node) {
        token_t const next = path[i].table->of(items_[i])[to_size(level)];
        if (first_child_.back() == static_cast<node_t>(token_.size()) || token_.back() != next) {
          token_.push_back(next);
          parent_.push_back(node);
        }
        path[i++].node = static_cast<node_t>(token_.size()) - 1;
      }
    }
  }
  first_child_.resize(token_.size() + 1, static_cast<node_t>(token_.size()));
  for (std::size_t i = 1; i <= items_.size(); ++i)
    if (i == items_.size() || path[i].node != path[i - 1].node) item_offsets_.push_back(static_cast<index_t>(i));
}

}  // namespace mql4grec::search
