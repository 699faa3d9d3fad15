#pragma once
// The rows of a beam search's steps. The number of rows doesn't depend on data, so the host needs no result of the
// device: every user has as many rows as beams, and unused rows have a score of −∞.
#include <limits>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class System, Real T>
struct start_row {
  token_t first;
  view<node_t const, device_space<System>, 1> roots;
  beam_rows<device_space<System>, T> rows;
  MQL4GREC_HD void operator()(index_t u) const {
    rows.offsets(u) = u;
    if (u + 1 == rows.offsets.size()) return;
    rows.scores(u) = T{};
    rows.nodes(u) = roots.size() > 0 ? roots(u) : 0;
    rows.places(u, 0) = static_cast<std::int32_t>(u);
    rows.tokens(u) = first;
  }
};

template <class System, Real T>
struct branch_row {
  beam_branches<device_space<System>, T> in;
  beam_rows<device_space<System>, T> to;

  MQL4GREC_HD void operator()(index_t row) const {
    auto const& [choice, trie, from, steps, first_place] = in;
    index_t const beams = choice.scores.columns(), u = row / beams, i = row % beams;
    bool const lost = i >= choice.counts(u);
    constexpr T infinity = std::numeric_limits<T>::infinity();
    node_t const node = lost ? trie.childless : choice.nodes(u, i);
    to.scores(row) = lost ? -infinity : choice.scores(u, i);
    to.nodes(row) = node;
    to.tokens(row) = trie.token(node);
    // an unused row reads its user's first cache row, so that its results are finite
    index_t const parent = lost ? from.offsets(u) : choice.parents(u, i);
    for (index_t s = 0; s < steps; ++s) to.places(row, s) = from.places(parent, s);
    to.places(row, steps) = static_cast<std::int32_t>(first_place + row);
  }
};

struct even_offset {
  index_t each;
  index_t* offsets;
  MQL4GREC_HD void operator()(index_t u) const { offsets[u] = u * each; }
};

template <Real T, class M>
struct add_log_probability_row {
  M logits;
  T const* normalisers;
  index_t token;
  T* scores;
  MQL4GREC_HD void operator()(index_t i) const { scores[i] += logits(i, token) - normalisers[i]; }
};

}  // namespace detail

/// One row per user, at the user's entry of `roots` or, if that is empty, at node 0; its next input token is `first`.
template <Real T, class System>
void start_beams(backend<System>& b, token_t first, in_vector<backend<System>, node_t> roots,
                 beam_rows<device_space<System>, T> const& rows) {
  detail::for_each_index(b, rows.offsets.size(), detail::start_row<System, T>{first, roots, rows});
}

/// Writes the rows of the next step to `to` and returns their number, which is always users · beams.
template <Real T, class System>
[[nodiscard]] index_t branch_beams(backend<System>& b, beam_branches<device_space<System>, T> const& in,
                                   beam_rows<device_space<System>, T> const& to) {
  index_t const rows = in.choice.scores.size();
  detail::for_each_index(b, rows, detail::branch_row<System, T>{in, to});
  detail::for_each_index(b, to.offsets.size(), detail::even_offset{in.choice.scores.columns(), to.offsets.data});
  return rows;
}

/// scores (rows) += log p of `token` under logits (rows,V)
template <Real T, class System>
void add_log_probability(backend<System>& b, in_matrix<backend<System>, T> logits,
                         in_vector<backend<System>, T> normalisers, token_t token,
                         out_vector<backend<System>, T> scores) {
  detail::for_each_index(
      b, logits.rows(),
      detail::add_log_probability_row<T, decltype(logits)>{logits, normalisers.data, index(token), scores.data});
}

}  // namespace mql4grec::gpu
