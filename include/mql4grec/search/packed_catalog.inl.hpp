#pragma once
// The definitions of search/packed_catalog.hpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

/// The size of the pages that sections are aligned to.
inline index_t page_bytes() { return std::max<index_t>(4096, ::sysconf(_SC_PAGESIZE)); }

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

}  // namespace detail

MQL4GREC_DEFINITION packed_source source_state(std::filesystem::path const& path) {
  struct ::stat found {};
  if (::stat(path.c_str(), &found) != 0) return {};
  core::detail::mapped_file const file(path);
  auto const bytes = file.bytes();
  return {.bytes = std::ssize(bytes),
          .modified = std::int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec,
          .checksum = core::detail::section_checksum(bytes, [&](auto) { file.expect_unchanged(); })};
}

MQL4GREC_DEFINITION bool is_unchanged(packed_source const& then, std::filesystem::path const& path) {
  struct ::stat found {};
  if (::stat(path.c_str(), &found) != 0) return then.bytes < 0;
  if (then.bytes != static_cast<index_t>(found.st_size)) return false;
  auto const modified = std::int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec;
  return then.modified == modified || source_state(path).checksum == then.checksum;
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

namespace detail {

/// Checks a mapped catalog.
class packed_catalog_reader {
 public:
  packed_catalog_reader(std::filesystem::path const& path, language::vocabulary const& vocab)
      : file_(std::make_shared<core::detail::mapped_file>(path)), vocab_(vocab) {
    auto const header = core::detail::read_section_header(path, file_->bytes(), catalog_beginning, "a packed catalog");
    auto const [words, end, page] = header.values;
    within("words", words, 3, 1 << 20);
    expects_file(page >= page_bytes() && page % page_bytes() == 0 && page <= index_t{1} << 30, path, "its pages have ",
                 page, " bytes, expected a multiple of ", page_bytes(), "; make the file here");
    expects_file(std::ssize(file_->bytes()) == end && core::detail::section_begin + words * 8 <= end, path, "has ",
                 file_->bytes().size(), " bytes, expected ", end);
    page_ = page;
    auto const directory = file_->bytes().subspan(to_size(core::detail::section_begin), to_size(words) * 8);
    expects_file(checksum(directory) == header.sums[0], path, "the directory is damaged: its checksum differs");
    read_directory({reinterpret_cast<std::int64_t const*>(directory.data()), to_size(words)});
    expects_file(directory_.vocabulary == fingerprint_of(vocab), path,
                 "was packed for the vocabulary of another model; pack it again for this one, or remove it");
    check_directory();
  }

  std::shared_ptr<packed_catalog const> catalog() const {
    auto out = std::make_shared<packed_catalog>();
    out->tokens = directory_.tokens;
    out->vocabulary = directory_.vocabulary;
    for (auto const& [bytes, modified, sum] : directory_.sources)
      out->sources.push_back({bytes, modified, static_cast<std::uint64_t>(sum)});
    for (std::size_t m = 0; m < directory_.tables.size(); ++m) {
      auto const& table = directory_.tables[m];
      out->tables.emplace_back(language::modality(m), directory_.items, table.levels,
                               column<item_id>(section<item_id>(table.present), file_),
                               column<token_t>(section<token_t>(table.tokens), file_));
    }
    for (auto const& trie : directory_.tries) {
      auto& group = out->groups.emplace_back();
      for (auto const kind : trie.kinds) group.kinds.push_back(language::modality(kind));
      group.trie = {.file = file_,
                    .levels = trie.levels,
                    .nodes = trie.token.entries,
                    .entries = trie.lists.entries,
                    .most_children = trie.most_children,
                    .most_listed = trie.most_listed,
                    .first_child = trie.first_child.begin,
                    .children_end = trie.children_end.begin,
                    .token = trie.token.begin,
                    .lists = trie.lists.begin,
                    .leaves = trie.leaves};
    }
    return out;
  }

  void check_all() const {
    for (std::size_t m = 0; m < directory_.tables.size(); ++m) {
      check_sum<item_id>("items", directory_.tables[m].present);
      check_sum<token_t>("tokens", directory_.tables[m].tokens);
      check_table(m);
    }
    for (auto const& trie : directory_.tries) {
      check_sum<node_t>("children", trie.first_child);
      check_sum<node_t>("ends of children", trie.children_end);
      check_sum<token_t>("tokens of nodes", trie.token);
      check_sum<item_id>("lists of items", trie.lists);
      check_trie(trie);
    }
  }

 private:
  std::filesystem::path const& path() const { return file_->path(); }
  void within(char const* what, index_t value, index_t least, index_t most) const {
    expects_file(value >= least && value <= most, path(), "header: ", value, " ", what, ", expected ", least, " to ",
                 most);
  }
  template <class T>
  std::span<T const> section(catalog_section const& at) const {
    return {reinterpret_cast<T const*>(file_->bytes().data() + at.begin), to_size(at.entries)};
  }
  template <class T>
  void check_sum(char const* what, catalog_section const& at) const {
    file_->expect_unchanged();
    auto const sum = core::detail::section_checksum(std::as_bytes(section<T>(at)), [](auto) {});
    expects_file(sum == at.sum, path(), "the ", what, " are damaged: their checksum differs");
  }

  void read_directory(std::span<std::int64_t const> words) {
    std::size_t at = 0;
    auto const next = [&] {
      expects_file(at < words.size(), path(), "the directory ends too early");
      return words[at++];
    };
    catalog_directory::each_word(
        directory_, [&](auto& value) { value = static_cast<std::decay_t<decltype(value)>>(next()); },
        [&](auto& list) {
          auto const size = next();
          expects_file(size >= 0 && size <= std::ssize(words), path(), "the directory has a list of ", size);
          list.resize(to_size(size));
        });
    expects_file(at == words.size(), path(), "the directory has ", words.size(), " words, expected ", at);
  }

  template <class T>
  void check_section(catalog_section const& at, index_t entries) const {
    auto const size = std::ssize(file_->bytes());
    bool const fits = at.begin >= page_ && at.begin % page_ == 0 && at.begin <= size && at.entries >= 0 &&
                      at.entries <= (size - at.begin) / index_t{sizeof(T)};
    expects_file(fits, path(), "header: a section of ", at.entries, " entries at byte ", at.begin, " of ", size);
    expects_file(at.entries == entries, path(), "header: a section of ", at.entries, " entries, expected ", entries);
  }
  void check_directory() const {
    auto const& d = directory_;
    within("items", d.items, 0, item_number_limit);
    within("modalities", std::ssize(d.tables), std::max<index_t>(1, vocab_.modalities()), 64);
    std::vector<bool> searched(d.tables.size());
    for (std::size_t m = 0; m < d.tables.size(); ++m) {
      auto const& table = d.tables[m];
      bool const known = vocab_.has(language::modality(m));
      within("levels", table.levels, known ? vocab_.levels(language::modality(m)) : 1,
             known ? vocab_.levels(language::modality(m)) : 1);
      within("sequences", table.present.entries, 0, known ? d.items : 0);
      check_section<item_id>(table.present, table.present.entries);
      check_section<token_t>(table.tokens, table.present.entries * table.levels);
    }
    index_t levels_before = 0;
    for (auto const& trie : d.tries) {
      within("levels of a trie", trie.levels, levels_before + 1, 128);
      levels_before = trie.levels;
      within("tables", std::ssize(trie.kinds), 1, 64);
      expects_file(trie.kinds.size() == trie.leaves.size(), path(), "header: ", trie.leaves.size(),
                   " tables, expected ", trie.kinds.size());
      index_t sequences = 0, leaves = 0, kind_before = -1;
      for (std::size_t t = 0; t < trie.kinds.size(); ++t) {
        auto const kind = trie.kinds[t];
        within("as a modality", kind, kind_before + 1, std::ssize(d.tables) - 1);
        kind_before = kind;
        auto const& table = d.tables[to_size(kind)];
        within("levels of a table", table.levels, trie.levels, trie.levels);
        within("leaves", trie.leaves[t], 1, table.present.entries);
        searched[to_size(kind)] = true;
        sequences += table.present.entries;
        leaves += trie.leaves[t];
      }
      auto const nodes = trie.token.entries;
      within("nodes", nodes, 1 + std::ssize(trie.kinds) + leaves, first_added_node - 1);
      check_section<token_t>(trie.token, nodes);
      check_section<node_t>(trie.first_child, nodes);
      check_section<node_t>(trie.children_end, nodes);
      check_section<item_id>(trie.lists, 1 + leaves + sequences);
      within("entries of lists", trie.lists.entries, 1, std::numeric_limits<node_t>::max() - 1);
      within("children at most", trie.most_children, 1, nodes);
      within("items of a leaf at most", trie.most_listed, 1, sequences);
    }
    for (std::size_t m = 0; m < d.tables.size(); ++m)
      expects_file(searched[m] == (d.tables[m].present.entries > 0), path(), "header: modality ", m,
                   " has sequences or a trie, but not both");
  }

  /// Items rise, and tokens belong to their modality and level.
  void check_table(std::size_t m) const {
    auto const& table = directory_.tables[m];
    auto const present = section<item_id>(table.present);
    auto const tokens = section<token_t>(table.tokens);
    for (std::size_t i = 0; i < present.size(); ++i)
      if (index(present[i]) < 0 || index(present[i]) >= directory_.items || (i > 0 && present[i - 1] >= present[i]))
          [[unlikely]]
        raise<file_error>(path().string(), ": row ", i, ": item ", index(present[i]), ", expected numbers that rise");
    auto const belongs = where_tokens_belong(language::modality(m));
    for (std::size_t i = 0; i < tokens.size(); ++i)
      check_token(tokens[i], belongs, static_cast<index_t>(i) % table.levels);
  }
  /// For each token, its level in the modality; −1 for others.
  std::vector<std::int32_t> where_tokens_belong(language::modality kind) const {
    std::vector<std::int32_t> level(to_size(vocab_.size()), -1);
    for (index_t t = 0; t < vocab_.size(); ++t)
      if (auto const place = vocab_.place(token_t(static_cast<std::int32_t>(t))); place && place->kind == kind)
        level[to_size(t)] = static_cast<std::int32_t>(place->level);
    return level;
  }
  void check_token(token_t token, std::vector<std::int32_t> const& belongs, index_t level) const {
    if (index(token) < 0 || index(token) >= std::ssize(belongs) || belongs[to_size(token)] != level) [[unlikely]]
      raise<file_error>(path().string(), ": token ", index(token), " at level ", level, ", where it doesn't belong");
  }

  /// Children follow one another, level by level; tokens rise and belong to their place; lists follow one another.
  void check_trie(catalog_trie const& trie) const {
    auto const first = section<node_t>(trie.first_child), end = section<node_t>(trie.children_end);
    auto const token = section<token_t>(trie.token);
    auto const lists = section<item_id>(trie.lists);
    expects_file(first[0] == 0 && end[0] == 0 && token[0] == token_t{0} && lists[0] == item_id{0}, path(),
                 "node 0 has children or a token");
    auto const nodes = std::ssize(token);
    auto const bad_node = [&](index_t node, char const* what) {
      raise<file_error>(path().string(), ": node ", node, " ", what);
    };
    auto const tables = std::ssize(trie.kinds);
    // The nodes of each table at a level: from begin[t] to begin[t + 1].
    std::vector<index_t> begin;
    for (index_t t = 0; t <= tables; ++t) begin.push_back(1 + t);
    for (index_t node = 1; node <= tables; ++node)
      if (token[to_size(node)] != token_t{-1}) bad_node(node, "is a root with a token");
    std::vector<std::vector<std::int32_t>> belongs;
    for (auto const kind : trie.kinds) belongs.push_back(where_tokens_belong(language::modality(kind)));
    for (index_t level = 0; level < trie.levels; ++level) {
      index_t next = begin.back();
      std::vector<index_t> below = {next};
      for (index_t t = 0; t < tables; ++t) {
        for (index_t node = begin[to_size(t)]; node < begin[to_size(t + 1)]; ++node) {
          auto const n = to_size(node);
          if (first[n] != next || end[n] <= first[n] || end[n] > nodes || end[n] - first[n] > trie.most_children)
              [[unlikely]]
            bad_node(node, "has other children than expected");
          for (index_t child = next; child < end[n]; ++child) {
            check_token(token[to_size(child)], belongs[to_size(t)], level);
            if (child > next && token[to_size(child - 1)] >= token[to_size(child)])
              bad_node(child, "has no rising token");
          }
          next = end[n];
        }
        below.push_back(next);
      }
      begin = std::move(below);
    }
    expects_file(begin.back() == nodes, path(), "the leaves end at ", begin.back(), ", expected ", nodes);
    index_t at = 1;
    for (index_t t = 0; t < tables; ++t) {
      expects_file(begin[to_size(t + 1)] - begin[to_size(t)] == trie.leaves[to_size(t)], path(), "table ", t, " has ",
                   begin[to_size(t + 1)] - begin[to_size(t)], " leaves, expected ", trie.leaves[to_size(t)]);
      for (index_t leaf = begin[to_size(t)]; leaf < begin[to_size(t + 1)]; ++leaf) {
        auto const n = to_size(leaf);
        if (first[n] != at || end[n] != at || at >= std::ssize(lists)) [[unlikely]]
          bad_node(leaf, "has another list than expected");
        index_t const count = index(lists[to_size(at)]);
        if (count < 1 || count > trie.most_listed || count >= std::ssize(lists) - at) [[unlikely]]
          bad_node(leaf, "has a list of a wrong length");
        for (index_t i = at + 1; i <= at + count; ++i)
          if (index(lists[to_size(i)]) < 0 || index(lists[to_size(i)]) >= directory_.items ||
              (i > at + 1 && lists[to_size(i - 1)] >= lists[to_size(i)])) [[unlikely]]
            bad_node(leaf, "has a list whose items don't rise");
        at += count + 1;
      }
    }
    expects_file(at == std::ssize(lists), path(), "the lists end at ", at, ", expected ", lists.size());
  }

  std::shared_ptr<core::detail::mapped_file> file_;
  language::vocabulary const& vocab_;
  index_t page_ = 0;
  catalog_directory directory_;
};

}  // namespace detail

MQL4GREC_DEFINITION std::shared_ptr<packed_catalog const> read_packed_catalog(std::filesystem::path const& path,
                                                                              language::vocabulary const& vocab,
                                                                              packed_check check) {
  detail::packed_catalog_reader const reader(path, vocab);
  if (check == packed_check::all) reader.check_all();
  return reader.catalog();
}

}  // namespace mql4grec::search
