#pragma once
// The definitions of search/trie.hpp.
#include <algorithm>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

MQL4GREC_DEFINITION item_trie::item_trie(std::span<language::token_table const* const> tables) {
  expects(!tables.empty(), "trie: no token table");
  auto& [levels, roots, first_children, parents, node_tokens, all_offsets, all_items] = columns_;
  roots = std::ssize(tables);
  auto& first_child = first_children.own();
  auto& parent = parents.own();
  auto& token = node_tokens.own();
  auto& item_offsets = all_offsets.own();
  auto& items = all_items.own();
  parent.assign(tables.size(), -1);
  token.assign(tables.size(), token_t{-1});
  struct place {
    language::token_table const* table;
    node_t node;  // the node at the level reached
  };
  std::vector<place> path;  // of each item
  levels = tables.front()->levels();
  for (node_t root = 0; root < roots; ++root) {
    auto const* const table = tables[to_size(root)];
    expects(table->levels() == levels, "trie: tables of ", levels, " and of ", table->levels(), " levels");
    auto const first = items.insert(items.end(), table->present().begin(), table->present().end());
    std::stable_sort(first, items.end(), [&](item_id a, item_id b) {
      return std::ranges::lexicographical_compare(table->of(a), table->of(b));
    });
    path.resize(items.size(), {table, root});
  }
  expects(std::ssize(items) * (levels + 1) + roots < first_added_node, "trie: ", items.size(),
          " items may have more than ", first_added_node, " nodes");

  first_child.clear();
  for (index_t level = 0; level < levels; ++level) {
    auto const begin = static_cast<node_t>(first_child.size()), end = static_cast<node_t>(token.size());
    std::size_t i = 0;
    for (node_t node = begin; node < end; ++node) {
      first_child.push_back(static_cast<node_t>(token.size()));
      while (i < items.size() && path[i].node == node) {
        token_t const next = path[i].table->of(items[i])[to_size(level)];
        if (first_child.back() == static_cast<node_t>(token.size()) || token.back() != next) {
          token.push_back(next);
          parent.push_back(node);
        }
        path[i++].node = static_cast<node_t>(token.size()) - 1;
      }
    }
  }
  first_child.resize(token.size() + 1, static_cast<node_t>(token.size()));
  for (std::size_t i = 1; i <= items.size(); ++i)
    if (i == items.size() || path[i].node != path[i - 1].node) item_offsets.push_back(static_cast<index_t>(i));
}

}  // namespace mql4grec::search
