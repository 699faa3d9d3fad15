#pragma once
// Converts the codes of a quantizer to tokens of the vocabulary.
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/view.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::language {

/// The token table of one modality for codes (items, levels). An item whose first code is −1 lacks the modality and
/// gets no sequence. Throws error when a code or the number of levels doesn't fit the vocabulary.
[[nodiscard]] inline token_table to_tokens(host_matrix_view<code_t const> codes, vocabulary const& vocab,
                                           modality kind) {
  expects(codes.columns() == vocab.levels(kind), "codes of ", codes.columns(), " levels for a modality with ",
          vocab.levels(kind));
  token_table table(kind, codes.rows(), codes.columns());
  std::vector<token_t> sequence(to_size(codes.columns()));
  for (index_t i = 0; i < codes.rows(); ++i) {
    if (codes(i, 0) == code_t{-1}) continue;
    for (index_t level = 0; level < codes.columns(); ++level)
      sequence[to_size(level)] = vocab.token(kind, level, codes(i, level));
    table.set(item_id(i), sequence);
  }
  return table;
}

}  // namespace mql4grec::language
