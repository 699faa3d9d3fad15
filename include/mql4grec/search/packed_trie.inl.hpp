#pragma once
// The definitions of search/packed_trie.hpp.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <list>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/search/detail/trie_layout.hpp"
#include "mql4grec/search/packed_trie.hpp"

namespace mql4grec::search {

namespace detail {

/// The bits of a token of a vocabulary with `size` ≥ 1 tokens.
inline index_t token_bits(index_t size) {
  return std::max<index_t>(1, static_cast<index_t>(std::bit_width(static_cast<std::uint64_t>(size - 1))));
}

/// A sequence and its item. Sequences are ordered as their keys are: a token takes the same number of bits at each
/// level, the first one the highest.
struct keyed_item {
  std::uint64_t high = 0, low = 0;
  item_id item = item_id{0};
  auto operator<=>(keyed_item const&) const = default;
};

/// Sorts more entries than fit into memory.
class external_sort {
 public:
  external_sort(std::filesystem::path const& path, index_t memory)
      : spool_(path), capacity_(to_size(memory) / sizeof(keyed_item)) {}

  void add(keyed_item const& entry) {
    if (buffer_.size() == capacity_) spill();
    if (buffer_.capacity() == 0) buffer_.reserve(std::min(capacity_, std::size_t{1} << 16));
    buffer_.push_back(entry);
  }
  /// Calls visit(entry) for all entries in order.
  template <class Visit>
  void each_sorted(Visit&& visit) {
    std::ranges::sort(buffer_);
    if (runs_.empty()) {
      for (auto const& entry : buffer_) visit(entry);
      return;
    }
    spill();
    std::vector<keyed_item>().swap(buffer_);
    std::vector<run_reader> readers;
    auto const share = std::max<std::size_t>(1024, std::min(capacity_ / runs_.size(), std::size_t{1} << 16));
    for (auto const& [begin, end] : runs_) readers.emplace_back(spool_, begin, end, share);
    using place = std::pair<keyed_item, std::size_t>;  // the next entry of a run
    std::priority_queue<place, std::vector<place>, std::greater<>> next;
    for (std::size_t r = 0; r < readers.size(); ++r) next.emplace(*readers[r].take(), r);
    while (!next.empty()) {
      auto const [entry, r] = next.top();
      next.pop();
      visit(entry);
      if (auto const* const more = readers[r].take()) next.emplace(*more, r);
    }
  }

 private:
  static constexpr index_t bytes = sizeof(keyed_item);

  class run_reader {
   public:
    run_reader(core::detail::spool_file const& file, index_t begin, index_t end, std::size_t entries)
        : file_(&file), begin_(begin), end_(end), capacity_(entries) {}
    keyed_item const* take() {
      if (at_ == block_.size()) {
        block_.resize(std::min(capacity_, to_size(end_ - begin_)));
        file_->read(begin_ * bytes, block_.data(), std::ssize(block_) * bytes);
        begin_ += std::ssize(block_);
        at_ = 0;
        if (block_.empty()) return nullptr;
      }
      return &block_[at_++];
    }

   private:
    core::detail::spool_file const* file_;
    index_t begin_, end_;
    std::size_t capacity_, at_ = 0;
    std::vector<keyed_item> block_;
  };

  void spill() {
    std::ranges::sort(buffer_);
    spool_.write(buffer_.data(), buffer_.size() * sizeof(keyed_item));
    runs_.emplace_back(spilled_, spilled_ + std::ssize(buffer_));
    spilled_ += std::ssize(buffer_);
    buffer_.clear();
  }

  core::detail::spool_file spool_;
  std::size_t capacity_;
  std::vector<keyed_item> buffer_;
  std::vector<std::pair<index_t, index_t>> runs_;  // entries first … last − 1 of the spool
  index_t spilled_ = 0;
};

/// An array on the disk that is appended to, and afterwards read once in order.
template <class T>
class spooled_array {
 public:
  explicit spooled_array(std::filesystem::path const& path) : spool_(path), writer_(spool_) {}
  void push_back(T value) {
    writer_.append(std::span<T const>(&value, 1));
    ++size_;
  }
  index_t size() const { return size_; }
  /// Calls visit(entries) for blocks of entries, which it may change.
  template <class Visit>
  void each_block(Visit&& visit) {
    writer_.finish();
    std::vector<T> block;
    for (index_t at = 0; at < size_; at += std::ssize(block)) {
      block.resize(to_size(std::min<index_t>(size_ - at, 1 << 16)));
      spool_.read(at * index_t{sizeof(T)}, block.data(), std::ssize(block) * index_t{sizeof(T)});
      visit(std::span(block));
    }
  }

 private:
  core::detail::spool_file spool_;
  core::detail::block_writer<core::detail::spool_file> writer_;
  index_t size_ = 0;
};

/// The nodes of one level, numbered from 0 on.
struct level_nodes {
  spooled_array<token_t> token;
  spooled_array<node_t> parent, first_child;  // numbers in the levels above and below
  explicit level_nodes(std::filesystem::path const& path) : token(path), parent(path), first_child(path) {}
};

}  // namespace detail

struct packed_trie_writer::state {
  std::filesystem::path path;
  packed_trie_options options;
  index_t token_bits;
  atomic_file file;
  detail::external_sort sort;
  catalog::distinct_items seen;

  state(std::filesystem::path p, packed_trie_options o)
      : path(std::move(p)), options(o), token_bits(detail::token_bits(o.vocabulary)), file(path), sort(path, o.memory) {
    std::array<std::byte, to_size(core::detail::section_begin)> const room = {};
    file.write(room.data(), room.size());
  }

  detail::keyed_item key_of(item_id item, std::span<token_t const> sequence) const {
    detail::keyed_item key{.item = item};
    for (auto const token : sequence) {
      key.high = key.high << token_bits | key.low >> (64 - token_bits);
      key.low = key.low << token_bits | static_cast<std::uint64_t>(index(token));
    }
    return key;
  }
  token_t token_of(detail::keyed_item const& key, index_t level) const {
    auto const shift = (options.levels - 1 - level) * token_bits;
    std::uint64_t bits = shift >= 64 ? key.high >> (shift - 64) : key.low >> shift;
    if (shift > 0 && shift < 64) bits |= key.high << (64 - shift);
    return static_cast<token_t>(bits & ((std::uint64_t{1} << token_bits) - 1));
  }

  /// Appends a section, whose blocks `write` passes to its argument. Returns its checksum.
  template <class Write>
  std::uint64_t section(Write&& write) {
    core::detail::block_writer<atomic_file> to(file);
    write([&](auto entries) { to.append(std::span<typename decltype(entries)::value_type const>(entries)); });
    to.finish();
    return to.sum();
  }
};

MQL4GREC_DEFINITION packed_trie_writer::packed_trie_writer(std::filesystem::path path, packed_trie_options options) {
  auto const& o = options;
  bool const tokens = o.vocabulary >= 1 && o.vocabulary <= item_number_limit;
  index_t const bits = tokens ? detail::token_bits(o.vocabulary) : 128;
  expects(o.levels >= 1 && o.levels <= 128 && o.levels * bits <= 128, "packed trie: sequences of ", o.levels,
          " tokens of a vocabulary of ", o.vocabulary, ", expected at most 128 bits");
  expects(o.memory >= index_t{1} << 20, "packed trie: ", o.memory, " bytes of memory, expected at least 1 MiB");
  state_ = std::make_unique<state>(std::move(path), options);
}
MQL4GREC_DEFINITION packed_trie_writer::~packed_trie_writer() = default;

MQL4GREC_DEFINITION void packed_trie_writer::add(item_id item, std::span<token_t const> sequence) {
  auto& s = *state_;
  expects(index(item) >= 0, "packed trie: item ", index(item), " is negative");
  expects(std::ssize(sequence) == s.options.levels, "packed trie: item ", index(item), " has ", sequence.size(),
          " tokens, expected ", s.options.levels);
  for (auto const token : sequence)
    expects(index(token) >= 0 && index(token) < s.options.vocabulary, "packed trie: item ", index(item), " has token ",
            index(token), ", expected 0 to ", s.options.vocabulary - 1);
  expects(s.seen.add(item), "packed trie: item ", index(item), " has a sequence already");
  s.sort.add(s.key_of(item, sequence));
}

MQL4GREC_DEFINITION packed_trie_summary packed_trie_writer::commit() {
  auto& s = *state_;
  index_t const levels = s.options.levels;
  std::list<detail::level_nodes> list;  // of the roots, then of each level
  std::vector<detail::level_nodes*> nodes;
  for (index_t level = 0; level <= levels; ++level) nodes.push_back(&list.emplace_back(s.path));
  detail::spooled_array<index_t> item_offsets(s.path);
  detail::spooled_array<item_id> items(s.path);
  nodes[0]->token.push_back(token_t{-1});
  nodes[0]->parent.push_back(-1);
  nodes[0]->first_child.push_back(0);
  detail::keyed_item last;
  index_t total = 1;
  s.sort.each_sorted([&](detail::keyed_item const& entry) {
    index_t level = 0;  // of the tokens that the sequence shares with the one before it
    while (items.size() > 0 && level < levels && s.token_of(entry, level) == s.token_of(last, level)) ++level;
    if (level < levels) item_offsets.push_back(items.size());
    for (; level < levels; ++level) {
      auto& at = *nodes[to_size(level + 1)];
      at.token.push_back(s.token_of(entry, level));
      at.parent.push_back(static_cast<node_t>(nodes[to_size(level)]->token.size() - 1));
      if (level + 1 < levels) at.first_child.push_back(static_cast<node_t>(nodes[to_size(level + 2)]->token.size()));
      ++total;
      expects(total < first_added_node, "packed trie: more than ", first_added_node, " nodes");
    }
    items.push_back(entry.item);
    last = entry;
  });
  item_offsets.push_back(items.size());

  packed_trie_summary made{.levels = levels, .nodes = total, .leaves = item_offsets.size() - 1, .items = items.size()};
  std::vector<node_t> begin;  // of each level
  node_t next = 0;
  for (auto const* const level : nodes) {
    begin.push_back(next);
    next += static_cast<node_t>(level->token.size());
  }
  auto const shifted = [](auto& array, node_t by, auto const& put) {
    array.each_block([&](auto block) {
      for (auto& node : block) node = static_cast<node_t>(node + by);
      put(block);
    });
  };
  auto header = detail::trie_beginning;
  header.sums[0] = s.section([&](auto const& put) { item_offsets.each_block(put); });
  header.sums[1] = s.section([&](auto const& put) {
    for (std::size_t level = 0; level + 1 < nodes.size(); ++level)
      shifted(nodes[level]->first_child, begin[level + 1], put);
    std::vector<node_t> const ends(1 << 16, next);  // leaves, and what follows them, have no children
    for (index_t left = nodes.back()->token.size() + 1; left > 0; left -= std::min(left, std::ssize(ends)))
      put(std::span(ends).first(to_size(std::min(left, std::ssize(ends)))));
  });
  header.sums[2] = s.section([&](auto const& put) {
    nodes[0]->parent.each_block(put);
    for (std::size_t level = 1; level < nodes.size(); ++level) shifted(nodes[level]->parent, begin[level - 1], put);
  });
  header.sums[3] = s.section([&](auto const& put) {
    for (auto* const level : nodes) level->token.each_block(put);
  });
  header.sums[4] = s.section([&](auto const& put) { items.each_block(put); });
  made.bytes = detail::trie_layout(made.nodes, made.leaves, made.items).end;
  header.values = {made.levels, made.nodes, made.leaves, made.items};
  header.header_sum = header.right_sum();
  s.file.write_at(0, &header, sizeof header);
  s.file.commit();
  return made;
}

namespace detail {

/// Checks a mapped trie.
class packed_trie_reader {
 public:
  explicit packed_trie_reader(std::filesystem::path const& path)
      : file_(std::make_shared<core::detail::mapped_file>(path)),
        header_(core::detail::read_section_header(path, file_->bytes(), trie_beginning, "a packed trie")) {
    std::tie(summary_.levels, summary_.nodes, summary_.leaves, summary_.items) = std::tuple_cat(header_.values);
    auto const within = [&](char const* what, index_t value, index_t least, index_t most) {
      expects_file(value >= least && value <= most, path, "header: ", value, " ", what, ", expected ", least, " to ",
                   most);
    };
    within("levels", summary_.levels, 1, 128);
    within("nodes", summary_.nodes, 1, first_added_node);
    within("leaves", summary_.leaves, 0, summary_.nodes - 1);
    within("items", summary_.items, summary_.leaves, item_number_limit);
    trie_layout const at(summary_.nodes, summary_.leaves, summary_.items);
    expects_file(std::ssize(file_->bytes()) == at.end, path, "has ", file_->bytes().size(), " bytes, expected ", at.end,
                 " for ", summary_.nodes, " nodes and ", summary_.items, " items");
    columns_ = {.levels = summary_.levels,
                .roots = 1,
                .first_child = section<node_t>(at.first_child, summary_.nodes + 1),
                .parent = section<node_t>(at.parent, summary_.nodes),
                .token = section<token_t>(at.token, summary_.nodes),
                .item_offsets = section<index_t>(at.item_offsets, summary_.leaves + 1),
                .items = section<item_id>(at.items, summary_.items)};
  }

  trie_columns const& columns() const { return columns_; }
  void check_all(index_t vocabulary) const {
    check_sum(0, "offsets of items", columns_.item_offsets);
    check_sum(1, "children", columns_.first_child);
    check_sum(2, "parents", columns_.parent);
    check_sum(3, "tokens", columns_.token);
    check_sum(4, "items", columns_.items);
    check_nodes(vocabulary);
    check_levels();
    check_items();
  }

 private:
  template <class T>
  column<T> section(index_t begin, index_t count) const {
    return {std::span(reinterpret_cast<T const*>(file_->bytes().data() + begin), to_size(count)), file_};
  }
  template <class T>
  void check_sum(std::size_t which, char const* what, column<T> const& entries) const {
    file_->expect_unchanged();
    auto const sum = core::detail::section_checksum(std::as_bytes(std::span(entries)), [](auto) {});
    expects_file(sum == header_.sums[which], path(), "the ", what, " are damaged: their checksum differs");
  }
  std::filesystem::path const& path() const { return file_->path(); }

  /// Children follow one another, rise, and know their parent.
  void check_nodes(index_t vocabulary) const {
    std::span const first(columns_.first_child), parent(columns_.parent);
    std::span const token(columns_.token);
    expects_file(first[0] == 1, path(), "node 0: its first child is ", first[0], ", expected 1");
    expects_file(parent[0] == -1 && token[0] == token_t{-1}, path(), "node 0 has a parent or a token");
    auto const nodes = static_cast<node_t>(summary_.nodes);
    for (node_t node = 0; node < nodes; ++node) {
      auto const n = to_size(node);
      if (first[n] > first[n + 1] || first[n + 1] > nodes || first[n] <= node) [[unlikely]]
        raise<file_error>(path().string(), ": node ", node, ": its children are ", first[n], " to ", first[n + 1] - 1,
                          ", expected later nodes of ", nodes);
      for (node_t child = first[n]; child < first[n + 1]; ++child) {
        auto const c = to_size(child);
        if (parent[c] != node || index(token[c]) < 0 || (child > first[n] && token[c - 1] >= token[c])) [[unlikely]]
          raise<file_error>(path().string(), ": node ", child, ": parent ", parent[c], " and token ", index(token[c]),
                            ", expected parent ", node, " and rising tokens");
      }
    }
    for (std::size_t n = 1; n < token.size(); ++n)
      expects_file(index(token[n]) < vocabulary, path(), "node ", n, ": token ", index(token[n]),
                   " of a model with a vocabulary of ", vocabulary);
    expects_file(first.back() == nodes, path(), "the children end at ", first.back(), ", expected ", nodes);
  }
  /// The nodes at the last level are the leaves, and no other node is without children.
  void check_levels() const {
    std::span const first(columns_.first_child);
    node_t begin = 0, end = 1;
    for (index_t level = 0; level < summary_.levels; ++level) {
      for (node_t node = begin; node < end && summary_.items > 0; ++node)
        expects_file(first[to_size(node)] < first[to_size(node) + 1], path(), "node ", node,
                     " has no children and isn't a leaf");
      begin = first[to_size(begin)];
      end = first[to_size(end)];
    }
    expects_file(begin == summary_.nodes - summary_.leaves && end == summary_.nodes, path(), "level ", summary_.levels,
                 " has the nodes ", begin, " to ", end - 1, ", expected the last ", summary_.leaves);
  }
  /// Every leaf has items, in ascending order.
  void check_items() const {
    std::span const offsets(columns_.item_offsets);
    std::span const items(columns_.items);
    expects_file(offsets[0] == 0, path(), "the items of leaf 0 begin at ", offsets[0], ", expected 0");
    for (std::size_t leaf = 0; leaf + 1 < offsets.size(); ++leaf) {
      expects_file(offsets[leaf] < offsets[leaf + 1] && offsets[leaf + 1] <= summary_.items, path(), "leaf ", leaf,
                   ": its items are ", offsets[leaf], " to ", offsets[leaf + 1] - 1, " of ", summary_.items);
      for (auto i = to_size(offsets[leaf]); i < to_size(offsets[leaf + 1]); ++i)
        expects_file(index(items[i]) >= 0 && index(items[i]) < item_number_limit &&
                         (i == to_size(offsets[leaf]) || items[i - 1] < items[i]),
                     path(), "leaf ", leaf, ": item ", index(items[i]), ", expected numbers that rise");
    }
    expects_file(offsets.back() == summary_.items, path(), "the items end at ", offsets.back(), ", expected ",
                 summary_.items);
  }

  std::shared_ptr<core::detail::mapped_file> file_;
  trie_sections header_;
  packed_trie_summary summary_;
  trie_columns columns_;
};

}  // namespace detail

MQL4GREC_DEFINITION item_trie read_packed_trie(std::filesystem::path const& path, packed_trie_reading const& how) {
  detail::packed_trie_reader const reader(path);
  if (how.check == trie_check::all) reader.check_all(how.vocabulary);
  return item_trie(reader.columns());
}

}  // namespace mql4grec::search
