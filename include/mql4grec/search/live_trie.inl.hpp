#pragma once
// The definitions of search/live_trie.hpp.
#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/live_trie.hpp"

namespace mql4grec::search {

MQL4GREC_DEFINITION live_trie::live_trie(std::span<language::token_table const* const> tables,
                                         std::span<std::span<item_id const> const> subsets,
                                         live_trie_capacity const& capacity) {
  item_trie const built(tables);
  auto const from = built.arrays();
  levels_ = built.levels();
  index_t items = 0;
  for (auto const* table : tables) items += std::ssize(table->present());
  index_t listed = 0;  // in all subsets
  for (auto const subset : subsets) listed += std::ssize(subset);
  auto const width = std::ssize(tables);
  reserve(built.nodes() + 1 + width * (std::ssize(subsets) + levels_ * listed),
          items + built.leaves() + width * 2 * listed, capacity);
  constexpr node_t shift = 1;  // node 0 has no children here
  for (node_t node = 0; node < built.nodes(); ++node) {
    if (built.leaves() > 0 && built.is_leaf(node)) {
      auto const list = built.items(node);
      append(from.token(node), append_list(list.first(list.size() - 1), list.back(), {}));
    } else {
      append(from.token(node), {static_cast<node_t>(from.first_child(node) + shift),
                                static_cast<node_t>(from.children_end(node) + shift)});
    }
  }
  for (node_t root = 0; root < built.roots(); ++root) {
    roots_.push_back(root + shift);
    leaves_.push_back(built.leaves() > 0 ? built.leaves_below(root) : 0);
  }
  reachable_ = built.nodes();
  for (auto const subset : subsets)
    for (auto const* table : tables) add_subset(*table, subset);
}

MQL4GREC_DEFINITION live_trie::live_trie(mapped_nodes const& base, std::span<language::token_table const* const> tables,
                                         std::span<std::span<item_id const> const> subsets,
                                         live_trie_capacity const& capacity)
    : levels_(base.levels) {
  auto const width = std::ssize(tables);
  expects(width == std::ssize(base.leaves), "live trie: ", width, " tables of a file with ", base.leaves.size());
  index_t listed = 0;  // in all subsets
  for (auto const subset : subsets) listed += std::ssize(subset);
  reserve(base.nodes + width * (std::ssize(subsets) + levels_ * listed), base.entries + width * 2 * listed, capacity,
          base);
  for (node_t table = 0; table < width; ++table) roots_.push_back(table + 1);
  leaves_ = base.leaves;
  reachable_ = base.nodes - 1;
  for (auto const subset : subsets)
    for (auto const* table : tables) add_subset(*table, subset);
}

MQL4GREC_DEFINITION void live_trie::add_table() {
  expects(nodes_ < storage_->token.capacity(), "live trie: no room for a table");
  roots_.push_back(append(token_t{-1}, {0, 0}));
  leaves_.push_back(0);
  ++reachable_;
}

MQL4GREC_DEFINITION void live_trie::add_subset(language::token_table const& table, std::span<item_id const> items) {
  add_table();
  std::vector<item_id> sorted;
  for (auto const item : items)
    if (table.has(item)) sorted.push_back(item);
  std::ranges::sort(sorted, [&](item_id a, item_id b) {
    auto const order = std::lexicographical_compare_three_way(table.of(a).begin(), table.of(a).end(),
                                                              table.of(b).begin(), table.of(b).end());
    return order != 0 ? order < 0 : a < b;
  });
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  index_t const before = nodes_;
  set(roots_.back(), append_below(table, sorted, 0));
  reachable_ += nodes_ - before;
}

MQL4GREC_DEFINITION auto live_trie::append_below(language::token_table const& table, std::span<item_id const> sorted,
                                                 index_t depth) -> node_range {
  if (sorted.empty()) return {0, 0};
  if (depth == levels_) {
    ++leaves_.back();
    return append_list(sorted.first(sorted.size() - 1), sorted.back(), {});
  }
  auto const token = [&](std::size_t i) { return table.of(sorted[i])[to_size(depth)]; };
  auto const first = static_cast<node_t>(nodes_);  // children are contiguous, and come before their own
  for (std::size_t i = 0; i < sorted.size(); ++i)
    if (i == 0 || token(i) != token(i - 1)) append(token(i), {0, 0});
  auto const end = static_cast<node_t>(nodes_);
  std::size_t begin = 0;
  for (auto child = first; child < end; ++child) {
    auto last = begin + 1;
    while (last < sorted.size() && token(last) == token(begin)) ++last;
    set(child, append_below(table, sorted.subspan(begin, last - begin), depth + 1));
    begin = last;
  }
  return {first, end};
}

MQL4GREC_DEFINITION void live_trie::reserve(index_t nodes, index_t entries, live_trie_capacity const& capacity,
                                            mapped_nodes const& base) {
  constexpr index_t most = first_added_node, limit = std::numeric_limits<node_t>::max();
  expects(nodes < most && entries < limit, "live trie: ", nodes, " nodes, expected fewer than ", most);
  index_t const spare = capacity.spare_nodes.value_or(std::max(nodes, index_t{1} << 21));
  auto const all_nodes = std::min(most, nodes + spare),
             all_entries = std::min(limit, entries + capacity.spare_entries + 1);
  path_.resize(to_size(levels_ + 1));
  if (base.file) {
    storage_ = std::make_shared<detail::trie_storage>(all_nodes, all_entries, base);
    nodes_ = published_ = base.nodes;
    entries_ = base.entries;
    most_children_ = base.most_children;
    most_listed_ = base.most_listed;
    return;
  }
  storage_ = std::make_shared<detail::trie_storage>(all_nodes, all_entries);
  entries_ = 1;                // list 0 is empty
  append(token_t{0}, {0, 0});  // node 0: trie_view::childless, whose token is read
}

MQL4GREC_DEFINITION bool live_trie::has_room(index_t changes) const {
  // A change isn't known: it may remove an item and insert it elsewhere, along the widest nodes and longest lists. Each
  // change may make a node one child wider, and a list one item longer, for the next one.
  return nodes_ + 2 * changes * (levels_ + 1) * (most_children_ + 1 + changes) <= storage_->token.capacity() &&
         entries_ + 2 * changes * (most_listed_ + 2 + changes) <= storage_->lists.capacity();
}

MQL4GREC_DEFINITION auto live_trie::append_list(std::span<item_id const> before, item_id item,
                                                std::span<item_id const> after) -> node_range {
  auto const at = static_cast<node_t>(entries_);
  auto* next = storage_->lists.data() + entries_;
  *next++ = static_cast<item_id>(before.size() + after.size() + 1);
  next = std::ranges::copy(before, next).out;
  *next++ = item;
  next = std::ranges::copy(after, next).out;
  most_listed_ = std::max<index_t>(most_listed_, std::ssize(before) + std::ssize(after) + 1);
  entries_ = next - storage_->lists.data();
  return {at, at};
}

MQL4GREC_DEFINITION index_t live_trie::walk(index_t table, std::span<token_t const> sequence) {
  expects(std::ssize(sequence) == levels_, "live trie: a sequence of ", sequence.size(), " tokens, expected ", levels_);
  path_[0] = roots_[to_size(table)];
  index_t needed = 2 * levels_ + 2;
  for (index_t depth = 0; depth < levels_; ++depth) {
    auto const node = path_[to_size(depth)];
    needed += size(node);
    auto const [first, end] = children(node);
    auto const* const tokens = storage_->token.data();
    auto const* const found = std::lower_bound(tokens + first, tokens + end, sequence[to_size(depth)]);
    bool const known = found != tokens + end && *found == sequence[to_size(depth)];
    if (!known || depth + 1 == levels_)
      expects(nodes_ + needed <= storage_->token.capacity(), "live trie: no room for a change");
    if (!known) return depth;
    path_[to_size(depth + 1)] = static_cast<node_t>(found - tokens);
  }
  return levels_;
}

MQL4GREC_DEFINITION void live_trie::replace(index_t table, index_t depth, node_range range) {
  for (; depth > 0; --depth) {
    auto const node = path_[to_size(depth)];
    if (node >= published_) return set(node, range);
    auto const [first, end] = children(path_[to_size(depth - 1)]);
    auto const copy = static_cast<node_t>(nodes_);
    append_copies(first, end);
    set(copy + (node - first), range);
    range = {copy, static_cast<node_t>(nodes_)};
  }
  auto& root = roots_[to_size(table)];
  if (root >= published_)
    set(root, range);
  else
    root = append(token_t{-1}, range);
}

MQL4GREC_DEFINITION bool live_trie::insert(index_t table, std::span<token_t const> sequence, item_id item) {
  index_t const depth = walk(table, sequence);
  if (depth == levels_) {
    auto const list = items(path_[to_size(depth)]);
    auto const at = to_size(std::ranges::lower_bound(list, item) - list.begin());
    if (at < list.size() && list[at] == item) return false;
    expects(entries_ + std::ssize(list) + 2 <= storage_->lists.capacity(), "live trie: no room for a change");
    replace(table, depth, append_list(list.first(at), item, list.subspan(at)));
    return true;
  }
  expects(entries_ + 2 <= storage_->lists.capacity(), "live trie: no room for a change");
  auto range = append_list({}, item, {});
  for (index_t level = levels_ - 1; level > depth; --level) {
    auto const node = append(sequence[to_size(level)], range);
    range = {node, static_cast<node_t>(node + 1)};
  }
  auto const [first, end] = children(path_[to_size(depth)]);
  auto const* const tokens = storage_->token.data();
  auto const place =
      static_cast<node_t>(std::lower_bound(tokens + first, tokens + end, sequence[to_size(depth)]) - tokens);
  auto const begin = static_cast<node_t>(nodes_);
  append_copies(first, place);
  append(sequence[to_size(depth)], range);
  append_copies(place, end);
  replace(table, depth, {begin, static_cast<node_t>(nodes_)});
  ++leaves_[to_size(table)];
  reachable_ += levels_ - depth;
  return true;
}

MQL4GREC_DEFINITION bool live_trie::remove(index_t table, std::span<token_t const> sequence, item_id item) {
  if (walk(table, sequence) < levels_) return false;
  index_t depth = levels_;
  auto const list = items(path_[to_size(depth)]);
  auto const at = to_size(std::ranges::lower_bound(list, item) - list.begin());
  if (at == list.size() || list[at] != item) return false;
  if (list.size() > 1) {
    expects(entries_ + std::ssize(list) <= storage_->lists.capacity(), "live trie: no room for a change");
    // one item takes the place between the others
    auto const last = at + 1 == list.size();
    replace(table, depth,
            last ? append_list(list.first(at - 1), list[at - 1], {})
                 : append_list(list.first(at), list[at + 1], list.subspan(at + 2)));
    return true;
  }
  while (depth > 0 && size(path_[to_size(depth - 1)]) == 1) --depth;
  --leaves_[to_size(table)];
  reachable_ -= levels_ - depth + (depth > 0 ? 1 : 0);
  if (depth == 0) {
    replace(table, 0, {0, 0});
    return true;
  }
  auto const node = path_[to_size(depth)];
  auto const [first, end] = children(path_[to_size(depth - 1)]);
  auto const begin = static_cast<node_t>(nodes_);
  append_copies(first, node);
  append_copies(node + 1, end);
  replace(table, depth - 1, {begin, static_cast<node_t>(nodes_)});
  return true;
}

MQL4GREC_DEFINITION trie_version live_trie::publish() {
  published_ = nodes_;
  trie_version out;
  out.storage_ = storage_;
  out.tables_ = std::make_shared<detail::trie_roots const>(detail::trie_roots{
      .nodes = roots_, .leaves = leaves_, .all_leaves = std::reduce(leaves_.begin(), leaves_.end())});
  out.levels_ = levels_;
  out.nodes_ = nodes_;
  out.reachable_ = reachable_;
  return out;
}

MQL4GREC_DEFINITION live_trie live_trie::compact(trie_version const& from, live_trie_capacity const& capacity) {
  live_trie out;
  out.levels_ = from.levels();
  if (from.tables_) out.leaves_ = from.tables_->leaves;
  auto const& old = *from.storage_;
  // Nodes and lists before these stay: node 0 and list 0, or those of the file.
  auto const kept = static_cast<node_t>(std::max<index_t>(1, old.base.nodes));
  auto const kept_entries = static_cast<node_t>(std::max<index_t>(1, old.base.entries));
  // Level by level: the other nodes of a level, by their number in `from`. The children of a node are all of one kind.
  std::vector<std::vector<node_t>> levels(1);
  for (auto const root : from.root_nodes())
    if (root >= kept) levels.front().push_back(root);
  index_t nodes = std::ssize(levels.front()), entries = 0;
  for (index_t level = 0; level < out.levels_; ++level) {
    std::vector<node_t> next;
    for (auto const node : levels.back())
      if (old.first_child[node] >= kept)
        for (auto child = old.first_child[node]; child < old.children_end[node]; ++child) next.push_back(child);
    nodes += std::ssize(next);
    levels.push_back(std::move(next));
  }
  for (auto const leaf : levels.back())
    if (old.first_child[leaf] >= kept_entries) entries += std::ssize(from.items(leaf)) + 1;
  out.reserve(kept + nodes, kept_entries + entries, capacity, old.base);
  out.reachable_ = from.reachable_;
  auto copied_root = kept;
  for (auto const root : from.root_nodes()) out.roots_.push_back(root < kept ? root : copied_root++);
  for (index_t level = 0; level <= out.levels_; ++level) {
    auto next = static_cast<node_t>(out.nodes_ + std::ssize(levels[to_size(level)]));
    for (auto const node : levels[to_size(level)]) {
      auto const first = old.first_child[node], end = old.children_end[node];
      if (first < (level == out.levels_ ? kept_entries : kept)) {
        out.append(old.token[node], {first, end});
      } else if (level == out.levels_) {
        auto const list = from.items(node);
        out.append(old.token[node], out.append_list(list.first(list.size() - 1), list.back(), {}));
      } else {
        auto const last = static_cast<node_t>(next + end - first);
        out.append(old.token[node], {next, last});
        next = last;
      }
    }
  }
  return out;
}

}  // namespace mql4grec::search
