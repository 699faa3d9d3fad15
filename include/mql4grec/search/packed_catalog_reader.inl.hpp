#pragma once
// The definition of search::read_packed_catalog(), with all checks of a file.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/detail/section.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/search/detail/catalog_layout.hpp"
#include "mql4grec/search/packed_catalog.hpp"

namespace mql4grec::search {

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
