#pragma once
// The definitions of search/packed_catalog.hpp that write a catalog; those that read one are in
// packed_catalog_reader.inl.hpp.
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <utility>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/detail/section.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/search/detail/catalog_layout.hpp"
#include "mql4grec/search/packed_catalog.hpp"

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

/// The nodes of one level of a trie, numbered from 0 on. A leaf has the position of its list instead of a child.
struct level_nodes {
  spooled_array<token_t> token;
  spooled_array<node_t> first_child;  // numbers in the level below
  explicit level_nodes(std::filesystem::path const& path) : token(path), first_child(path) {}
};

/// The sequences of a modality while they are collected.
struct collected_table {
  index_t levels = 0, token_bits = 0;
  spooled_array<item_id> present;
  spooled_array<token_t> tokens;
  external_sort sort;
  item_id last = item_id{-1};

  collected_table(std::filesystem::path const& path, index_t l, index_t bits, index_t memory)
      : levels(l), token_bits(bits), present(path), tokens(path), sort(path, memory) {}

  keyed_item key_of(item_id item, std::span<token_t const> sequence) const {
    keyed_item key{.item = item};
    for (auto const token : sequence) {
      key.high = key.high << token_bits | key.low >> (64 - token_bits);
      key.low = key.low << token_bits | static_cast<std::uint64_t>(index(token));
    }
    return key;
  }
  token_t token_of(keyed_item const& key, index_t level) const {
    auto const shift = (levels - 1 - level) * token_bits;
    std::uint64_t bits = shift >= 64 ? key.high >> (shift - 64) : key.low >> shift;
    if (shift > 0 && shift < 64) bits |= key.high << (64 - shift);
    return static_cast<token_t>(bits & ((std::uint64_t{1} << token_bits) - 1));
  }
};

/// Appends sections to a file, each at the beginning of a page.
class section_writer {
 public:
  section_writer(atomic_file& file, index_t begin) : file_(file), at_(begin) {}

  /// Appends a section, whose blocks `write` passes to its argument.
  template <class Write>
  catalog_section operator()(Write&& write) {
    catalog_section made{.begin = at_};
    core::detail::block_writer<atomic_file> to(file_);
    write([&](auto entries) {
      to.append(std::span<typename decltype(entries)::value_type const>(entries));
      made.entries += std::ssize(entries);
    });
    to.finish();
    made.sum = to.sum();
    at_ += to.bytes();
    std::vector<std::byte> const padding(to_size((page_bytes() - at_ % page_bytes()) % page_bytes()));
    file_.write(padding.data(), padding.size());
    at_ += std::ssize(padding);
    return made;
  }
  /// The size of the file so far.
  index_t bytes() const { return at_; }

 private:
  atomic_file& file_;
  index_t at_;
};

/// Writes the tries of tables with the same number of levels.
class trie_packer {
 public:
  trie_packer(std::filesystem::path const& path, index_t levels, index_t tables)
      : levels_(levels), most_tables_(tables), lists_(path) {
    for (index_t level = 0; level <= levels; ++level) nodes_.push_back(&all_nodes_.emplace_back(path));
    lists_.push_back(item_id{0});
  }

  /// Adds the trie of the next table.
  void add(collected_table& table) {
    auto& root = *nodes_[0];
    root.token.push_back(token_t{-1});
    root.first_child.push_back(end_of(1));
    std::optional<keyed_item> last;
    std::vector<item_id> items;  // of the last leaf
    auto const close_leaf = [&] {
      if (items.empty()) return;
      expects(lists_.size() + std::ssize(items) < std::numeric_limits<node_t>::max(), "packed catalog: too many items");
      nodes_[to_size(levels_)]->first_child.push_back(static_cast<node_t>(lists_.size()));
      lists_.push_back(static_cast<item_id>(items.size()));
      for (auto const item : items) lists_.push_back(item);
      made_.most_listed = std::max<index_t>(made_.most_listed, std::ssize(items));
      items.clear();
    };
    index_t const before = nodes_[to_size(levels_)]->token.size();
    table.sort.each_sorted([&](keyed_item const& entry) {
      index_t level = 0;  // of the tokens that the sequence shares with the one before it
      while (last && level < levels_ && table.token_of(entry, level) == table.token_of(*last, level)) ++level;
      if (level < levels_) close_leaf();
      for (; level < levels_; ++level) {
        auto& at = *nodes_[to_size(level + 1)];
        at.token.push_back(table.token_of(entry, level));
        if (level + 1 < levels_) at.first_child.push_back(end_of(level + 2));
        ++total_;
        expects(total_ + most_tables_ < first_added_node, "packed catalog: more than ", first_added_node, " nodes");
      }
      items.push_back(entry.item);
      last = entry;
    });
    close_leaf();
    made_.leaves.push_back(nodes_[to_size(levels_)]->token.size() - before);
  }

  /// Writes the sections. Call it once, after the last table.
  catalog_trie write(section_writer& section) {
    std::vector<node_t> begin;  // of each level
    node_t next = 1;
    for (auto const* const level : nodes_) {
      begin.push_back(next);
      next += static_cast<node_t>(level->token.size());
    }
    // The children of all nodes that aren't leaves follow one another.
    auto const each_children = [&](auto const& visit) {  // visit(first child, end)
      for (index_t level = 0; level < levels_; ++level) {
        std::optional<node_t> before;
        auto const shift = begin[to_size(level + 1)];
        nodes_[to_size(level)]->first_child.each_block([&](auto block) {
          for (auto const node : block) {
            if (before) visit(*before + shift, node + shift);
            before = node;
          }
        });
        if (before) visit(*before + shift, end_of(level + 1) + shift);
      }
    };
    auto const children = [&](auto const& put, bool ends) {
      std::vector<node_t> block = {0};
      each_children([&](node_t first, node_t end) {
        made_.most_children = std::max<index_t>(made_.most_children, end - first);
        block.push_back(ends ? end : first);
        if (block.size() < 1 << 16) return;
        put(std::span(block));
        block.clear();
      });
      put(std::span(block));
      nodes_[to_size(levels_)]->first_child.each_block(put);
    };
    made_.levels = levels_;
    made_.first_child = section([&](auto const& put) { children(put, false); });
    made_.children_end = section([&](auto const& put) { children(put, true); });
    made_.token = section([&](auto const& put) {
      token_t childless{0};
      put(std::span(&childless, 1));
      for (auto* const level : nodes_) level->token.each_block(put);
    });
    made_.lists = section([&](auto const& put) { lists_.each_block(put); });
    return made_;
  }

 private:
  node_t end_of(index_t level) const { return static_cast<node_t>(nodes_[to_size(level)]->token.size()); }

  index_t levels_, most_tables_, total_ = 1;
  std::list<level_nodes> all_nodes_;  // of the roots, then of each level
  std::vector<level_nodes*> nodes_;
  spooled_array<item_id> lists_;
  catalog_trie made_;
};

/// The time of the last change of a file, in nanoseconds.
inline std::int64_t modified_at(struct ::stat const& file) {
  return std::int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec;
}
}  // namespace detail

MQL4GREC_DEFINITION packed_source source_state(std::filesystem::path const& path) {
  struct ::stat found {};
  if (::stat(path.c_str(), &found) != 0) return {};
  core::detail::mapped_file const file(path);
  auto const bytes = file.bytes();
  return {.bytes = std::ssize(bytes),
          .modified = detail::modified_at(found),
          .checksum = core::detail::section_checksum(bytes, [&](auto) { file.expect_unchanged(); })};
}

MQL4GREC_DEFINITION bool is_unchanged(packed_source const& then, std::filesystem::path const& path) {
  struct ::stat found {};
  if (::stat(path.c_str(), &found) != 0) return then.bytes < 0;
  if (then.bytes != static_cast<index_t>(found.st_size)) return false;
  return then.modified == detail::modified_at(found) || source_state(path).checksum == then.checksum;
}

MQL4GREC_DEFINITION std::uint64_t fingerprint_of(language::vocabulary const& vocab) {
  std::string all;
  for (index_t i = 0; i < vocab.size(); ++i) {
    auto const token = token_t(static_cast<std::int32_t>(i));
    if (vocab.has_text(token)) all += vocab.text(token);
    all += '\n';
  }
  for (index_t m = 0; m < vocab.modalities(); ++m) all += std::to_string(vocab.levels(language::modality(m))) + '\n';
  return checksum(std::as_bytes(std::span(all.data(), all.size())));
}

struct packed_catalog_writer::state {
  std::filesystem::path path;
  language::vocabulary vocab;
  packed_catalog_options options;
  atomic_file file;
  std::list<detail::collected_table> tables;  // by modality
  std::vector<detail::collected_table*> by_kind;
  index_t items;

  state(std::filesystem::path p, language::vocabulary const& v, index_t modalities, packed_catalog_options o)
      : path(std::move(p)), vocab(v), options(std::move(o)), file(path), items(options.items) {
    auto const bits = detail::token_bits(vocab.size());
    for (index_t m = 0; m < modalities; ++m) {
      bool const known = vocab.has(language::modality(m));
      index_t const levels = known ? vocab.levels(language::modality(m)) : 1;
      expects(levels * bits <= 128, "packed catalog: sequences of ", levels, " tokens of a vocabulary of ",
              vocab.size(), ", expected at most 128 bits");
      by_kind.push_back(&tables.emplace_back(path, levels, bits, options.memory / modalities));
    }
  }

  /// The fingerprint of the tables as fingerprint_of() would find it.
  std::uint64_t fingerprint() {
    std::uint64_t sum = 0;
    for (std::size_t m = 0; m < by_kind.size(); ++m) {
      auto& table = *by_kind[m];
      index_t const shape[] = {static_cast<index_t>(m), items, table.levels};
      sum = checksum(std::as_bytes(std::span(shape)), sum);
      block_checksum present(to_size(table.present.size()) * sizeof(item_id), sum);
      table.present.each_block([&](auto block) { present.add(std::as_bytes(block)); });
      block_checksum tokens(to_size(table.tokens.size()) * sizeof(token_t), present.sum());
      table.tokens.each_block([&](auto block) { tokens.add(std::as_bytes(block)); });
      sum = tokens.sum();
    }
    return sum;
  }
};

MQL4GREC_DEFINITION packed_catalog_writer::packed_catalog_writer(std::filesystem::path path,
                                                                 language::vocabulary const& vocab, index_t modalities,
                                                                 packed_catalog_options options) {
  expects(modalities >= std::max<index_t>(1, vocab.modalities()) && modalities <= 64, "packed catalog: ", modalities,
          " modalities, expected ", std::max<index_t>(1, vocab.modalities()), " to 64");
  expects(options.memory >= index_t{1} << 20, "packed catalog: ", options.memory,
          " bytes of memory, expected at least 1 MiB");
  expects(options.items >= 0 && options.items <= item_number_limit, "packed catalog: ", options.items, " items");
  state_ = std::make_unique<state>(std::move(path), vocab, modalities, std::move(options));
}
MQL4GREC_DEFINITION packed_catalog_writer::~packed_catalog_writer() = default;

MQL4GREC_DEFINITION void packed_catalog_writer::add(language::modality kind, item_id item,
                                                    std::span<token_t const> sequence) {
  auto& s = *state_;
  expects(index(kind) >= 0 && index(kind) < s.vocab.modalities() && s.vocab.has(kind), "packed catalog: modality ",
          index(kind), ", which the vocabulary lacks");
  auto& table = *s.by_kind[to_size(kind)];
  expects(item > table.last && index(item) < item_number_limit, "packed catalog: item ", index(item), " after item ",
          index(table.last));
  expects(std::ssize(sequence) == table.levels, "packed catalog: item ", index(item), " has ", sequence.size(),
          " tokens, expected ", table.levels);
  for (std::size_t l = 0; l < sequence.size(); ++l) {
    auto const place = s.vocab.place(sequence[l]);
    expects(place && place->kind == kind && place->level == static_cast<index_t>(l), "packed catalog: item ",
            index(item), " has token ", index(sequence[l]), " at level ", l, ", where it doesn't belong");
  }
  table.last = item;
  s.items = std::max(s.items, index(item) + 1);
  table.present.push_back(item);
  for (auto const token : sequence) table.tokens.push_back(token);
  table.sort.add(table.key_of(item, sequence));
}

MQL4GREC_DEFINITION packed_catalog_summary packed_catalog_writer::commit() {
  auto& s = *state_;
  detail::catalog_directory directory{
      .vocabulary = fingerprint_of(s.vocab), .tokens = s.fingerprint(), .items = s.items};
  for (auto const& source : s.options.sources)
    directory.sources.push_back({source.bytes, source.modified, static_cast<std::int64_t>(source.checksum)});
  std::map<index_t, std::vector<index_t>> by_levels;
  for (std::size_t m = 0; m < s.by_kind.size(); ++m) {
    directory.tables.push_back({.levels = s.by_kind[m]->levels});
    if (s.by_kind[m]->present.size() > 0) by_levels[s.by_kind[m]->levels].push_back(static_cast<index_t>(m));
  }
  for (auto const& [levels, kinds] : by_levels)
    directory.tries.push_back({.levels = levels, .kinds = kinds, .leaves = std::vector<index_t>(kinds.size())});
  // The size of the directory is known now, and its content at the end.
  auto const words = words_of(directory).size();
  auto const page = detail::page_bytes();
  auto const begin = (core::detail::section_begin + static_cast<index_t>(words) * 8 + page - 1) / page * page;
  std::vector<std::byte> const room(to_size(begin));
  s.file.write(room.data(), room.size());

  detail::section_writer section(s.file, begin);
  packed_catalog_summary made{.items = s.items};
  for (std::size_t m = 0; m < s.by_kind.size(); ++m) {
    auto& from = *s.by_kind[m];
    made.sequences += from.present.size();
    directory.tables[m].present = section([&](auto const& put) { from.present.each_block(put); });
    directory.tables[m].tokens = section([&](auto const& put) { from.tokens.each_block(put); });
  }
  for (auto& trie : directory.tries) {
    detail::trie_packer packer(s.path, trie.levels, std::ssize(trie.kinds));
    for (auto const kind : trie.kinds) packer.add(*s.by_kind[to_size(kind)]);
    auto written = packer.write(section);
    written.kinds = trie.kinds;
    trie = std::move(written);
    made.nodes += trie.token.entries;
    for (auto const leaves : trie.leaves) made.leaves += leaves;
  }
  made.bytes = section.bytes();

  auto const content = words_of(directory);
  auto header = detail::catalog_beginning;
  header.values = {std::ssize(content), made.bytes, page};
  header.sums = {checksum(std::as_bytes(std::span(content)))};
  header.header_sum = header.right_sum();
  s.file.write_at(core::detail::section_begin, content.data(), content.size() * 8);
  s.file.write_at(0, &header, sizeof header);
  s.file.commit();
  return made;
}

}  // namespace mql4grec::search
