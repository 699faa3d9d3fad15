#pragma once
// The layout of a packed trie's file, for the writer, the reader and their tests.
#include "mql4grec/core/detail/section.hpp"

namespace mql4grec::search::detail {

/// The beginning of the file: levels, nodes, leaves, items; then the sections in the order of their checksums, without
/// gaps: offsets of items, first children, parents, tokens, items.
using trie_sections = core::detail::section_header<4, 5>;
inline constexpr trie_sections trie_beginning = {.magic = {'m', 'q', 'l', '_', 't', 'r', 'i', 'e'}};

/// Where the sections of a trie begin, and the file ends. `entries`: of the lists of all leaves.
struct trie_layout {
  index_t item_offsets, first_child, parent, token, items, end;
  trie_layout(index_t nodes, index_t leaves, index_t entries)
      : item_offsets(core::detail::section_begin),
        first_child(item_offsets + (leaves + 1) * 8),
        parent(first_child + (nodes + 1) * 4),
        token(parent + nodes * 4),
        items(token + nodes * 4),
        end(items + entries * 4) {}
};

}  // namespace mql4grec::search::detail
