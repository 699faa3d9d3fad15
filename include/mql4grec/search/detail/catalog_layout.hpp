#pragma once
// The beginning of a packed catalog's file, for the writer, the reader and their tests.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "mql4grec/core/detail/section.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::search::detail {

/// The size of the pages that sections are aligned to.
inline index_t page_bytes() { return std::max<index_t>(4096, ::sysconf(_SC_PAGESIZE)); }

/// The header: the number of words of the directory, the size of the file, and the alignment of the sections; the
/// checksum of the directory, which follows the header.
using catalog_header = core::detail::section_header<3, 1>;
inline constexpr catalog_header catalog_beginning = {.magic = {'m', 'q', 'l', '_', 'c', 't', 'l', 'g'}};

/// A section of the file: where it begins, how many entries it has, and their checksum.
struct catalog_section {
  index_t begin = 0, entries = 0;
  std::uint64_t sum = 0;
};

/// A modality: its table.
struct catalog_table {
  index_t levels = 0;
  catalog_section present = {}, tokens = {};
};

/// A group: its trie, as in mapped_nodes.
struct catalog_trie {
  index_t levels = 0, most_children = 0, most_listed = 0;
  std::vector<index_t> kinds = {}, leaves = {};  // of each table
  catalog_section first_child = {}, children_end = {}, token = {}, lists = {};
};

/// What the directory contains.
struct catalog_directory {
  std::uint64_t vocabulary = 0, tokens = 0;
  index_t items = 0;
  std::vector<std::array<std::int64_t, 3>> sources = {};  // bytes, time, checksum
  std::vector<catalog_table> tables = {};
  std::vector<catalog_trie> tries = {};

  /// Calls visit(word) for each word in the order of the file, and resize(list) for each list after its size.
  template <class Self, class Word, class List>
  static void each_word(Self& self, Word const& word, List const& list) {
    auto const section = [&](auto& s) {
      word(s.begin);
      word(s.entries);
      word(s.sum);
    };
    word(self.vocabulary);
    word(self.tokens);
    word(self.items);
    list(self.sources);
    for (auto& source : self.sources)
      for (auto& one : source) word(one);
    list(self.tables);
    for (auto& table : self.tables) {
      word(table.levels);
      section(table.present);
      section(table.tokens);
    }
    list(self.tries);
    for (auto& trie : self.tries) {
      word(trie.levels);
      word(trie.most_children);
      word(trie.most_listed);
      list(trie.kinds);
      for (auto& one : trie.kinds) word(one);
      list(trie.leaves);
      for (auto& one : trie.leaves) word(one);
      section(trie.first_child);
      section(trie.children_end);
      section(trie.token);
      section(trie.lists);
    }
  }
};

/// The words of a directory.
inline std::vector<std::int64_t> words_of(catalog_directory const& from) {
  std::vector<std::int64_t> words;
  auto const word = [&](auto const& value) { words.push_back(static_cast<std::int64_t>(value)); };
  catalog_directory::each_word(from, word, [&](auto const& list) { word(list.size()); });
  return words;
}

}  // namespace mql4grec::search::detail
