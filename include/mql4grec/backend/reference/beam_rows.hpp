#pragma once
#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// One row a user (offsets.size() − 1), at the root with the score 0, that reads `first`; its place in the cache is its
/// number.
template <Real T>
void start_beams(backend&, token_t first, beam_rows<host_space, T> const& rows) {
  index_t const users = rows.offsets.size() - 1;
  for (index_t u = 0; u < users; ++u) {
    rows.scores(u) = T{};
    rows.nodes(u) = 0;
    rows.places(u, 0) = static_cast<std::int32_t>(u);
    rows.tokens(u) = first;
    rows.offsets(u) = u;
  }
  rows.offsets(users) = users;
}

/// The chosen children of `from`'s rows become the rows of the next step, which read the children's tokens; row r goes
/// to the place first_place + r, behind the `steps` places of its parent. -> how many rows there are. A backend that
/// can't know may fill up every user's rows to as many as it may have, with rows that are lost: a score of −∞ and a
/// node without children.
template <Real T>
index_t branch_beams(backend&, beam_choice<host_space, T> const& choice, trie_view<host_space> const& trie,
                     beam_rows<host_space, T> const& from, index_t steps, index_t first_place,
                     beam_rows<host_space, T> const& to) {
  index_t row = 0;
  for (index_t u = 0; u < choice.counts.size(); ++u) {
    to.offsets(u) = row;
    for (index_t i = 0; i < choice.counts(u); ++i, ++row) {
      to.scores(row) = choice.scores(u, i);
      to.nodes(row) = choice.nodes(u, i);
      to.tokens(row) = trie.token(choice.nodes(u, i));
      for (index_t s = 0; s < steps; ++s) to.places(row, s) = from.places(choice.parents(u, i), s);
      to.places(row, steps) = static_cast<std::int32_t>(first_place + row);
    }
  }
  to.offsets(choice.counts.size()) = row;
  return row;
}

/// scores (rows) += log p of `token` under logits (rows,V), whose normalisers are log Σ exp.
template <Real T>
void add_log_probability(backend&, in_matrix<backend, T> logits, in_vector<backend, T> normalisers, token_t token,
                         out_vector<backend, T> scores) {
  for (index_t i = 0; i < logits.rows(); ++i) scores(i) += logits(i, index(token)) - normalisers(i);
}

}  // namespace mql4grec::reference
