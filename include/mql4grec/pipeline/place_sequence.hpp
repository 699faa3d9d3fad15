#pragma once
// The token sequence of an item that is inserted into a live catalog, from its features and the translator of the
// catalog. No other item gets another sequence.
#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/quantize/collisions/place_item.hpp"
#include "mql4grec/search/live_catalog.hpp"

namespace mql4grec::pipeline {

/// Where a sequence is placed: among those of one modality of a catalog.
struct placement {
  search::catalog_version const& version;  ///< the sequences that are taken
  language::modality kind;                 ///< the modality of the features
  language::vocabulary const& vocab;       ///< the tokens of the catalog
  /// Further sequences that are taken, such as those of items that are inserted together; nullptr: none.
  std::set<std::vector<token_t>> const* also_taken = nullptr;
  /// The item, if it may be in the version already: a sequence that only this item has isn't taken, so that an item
  /// that is placed again keeps its sequence.
  std::optional<item_id> item = std::nullopt;
};

/// The tokens of the nearest codes, or of the nearest free ones if another item of the version has these; see
/// quantize::place_item. Two items that are placed at the same time, in the same version, may get the same sequence;
/// one after another they never do. Throws error if the model doesn't have the levels of the modality, or if no
/// sequence is free.
template <Backend B, quantize::Quantizer<B> M>
[[nodiscard]] std::vector<token_t> place_sequence(B& worker, M const& model, host_vector_view<float const> features,
                                                  placement const& where) {
  search::trie_version const* trie = nullptr;
  index_t table = 0;
  for (auto const& group : where.version.groups())
    for (std::size_t t = 0; t < group.kinds.size(); ++t)
      if (group.kinds[t] == where.kind) {
        trie = &group.trie;
        table = static_cast<index_t>(t);
      }
  auto const levels = std::ssize(quantize::code_sizes<B>(model));
  expects(trie != nullptr && trie->levels() == levels, "place_sequence: a quantizer of ", levels,
          " levels for modality ", index(where.kind), " of ", trie ? trie->levels() : 0, " levels");
  std::vector<token_t> tokens(to_size(levels));
  auto const to_tokens = [&](std::span<code_t const> codes) {
    for (std::size_t l = 0; l < codes.size(); ++l)
      tokens[l] = where.vocab.token(where.kind, static_cast<index_t>(l), codes[l]);
  };
  auto const codes = quantize::place_item(worker, model, features, [&](std::span<code_t const> wanted) {
    to_tokens(wanted);
    auto const leaf = trie->find(table, tokens);
    auto const is_own = [&](item_id other) { return other == where.item; };
    bool const is_taken = leaf >= 0 && !std::ranges::all_of(trie->items(leaf), is_own);
    return is_taken || (where.also_taken && where.also_taken->contains(tokens));
  });
  to_tokens(codes);
  return tokens;
}

}  // namespace mql4grec::pipeline
