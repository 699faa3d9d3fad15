#pragma once
// The rows of a beam search's steps.
#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// One row per user (offsets.size() − 1 users), with score 0, whose next input token is `first`. It is at the user's
/// entry of `roots` (users), or at node 0 if `roots` is empty. The cache row of user u is u.
template <Real T>
void start_beams(backend&, token_t first, in_vector<backend, node_t> roots, beam_rows<host_space, T> const& rows) {
  index_t const users = rows.offsets.size() - 1;
  for (index_t u = 0; u < users; ++u) {
    rows.scores(u) = T{};
    rows.nodes(u) = roots.size() > 0 ? roots(u) : 0;
    rows.places(u, 0) = static_cast<std::int32_t>(u);
    rows.tokens(u) = first;
    rows.offsets(u) = u;
  }
  rows.offsets(users) = users;
}

/// Makes the chosen children of in.from's rows the rows of the next step in `to`, whose next input tokens are the
/// children's. The cache row of new row r is in.first_place + r; it follows the in.steps cache rows of its ancestors.
/// Returns the number of rows. A backend that cannot know it without waiting may give every user the maximum number of
/// rows; unused ones have a score of −∞ and a node without children.
template <Real T>
[[nodiscard]] index_t branch_beams(backend&, beam_branches<host_space, T> const& in,
                                   beam_rows<host_space, T> const& to) {
  auto const& choice = in.choice;
  index_t row = 0;
  for (index_t u = 0; u < choice.counts.size(); ++u) {
    to.offsets(u) = row;
    for (index_t i = 0; i < choice.counts(u); ++i, ++row) {
      to.scores(row) = choice.scores(u, i);
      to.nodes(row) = choice.nodes(u, i);
      to.tokens(row) = in.trie.token(choice.nodes(u, i));
      for (index_t s = 0; s < in.steps; ++s) to.places(row, s) = in.from.places(choice.parents(u, i), s);
      to.places(row, in.steps) = static_cast<std::int32_t>(in.first_place + row);
    }
  }
  to.offsets(choice.counts.size()) = row;
  return row;
}

/// scores (rows) += log p of `token` under logits (rows,V); normalisers (rows) are log Σ exp of the logits.
template <Real T>
void add_log_probability(backend&, in_matrix<backend, T> logits, in_vector<backend, T> normalisers, token_t token,
                         out_vector<backend, T> scores) {
  for (index_t i = 0; i < logits.rows(); ++i) scores(i) += logits(i, index(token)) - normalisers(i);
}

}  // namespace mql4grec::reference
