#pragma once
// Selection of each user's best candidates; see beam_candidates and beam_choice.
#include <algorithm>
#include <cmath>
#include <limits>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/reference/cross_entropy.hpp"

namespace mql4grec::reference {

namespace detail {

template <Real T>
struct beam_candidate {
  T score;
  std::int32_t parent;
  node_t node;

  friend bool better(beam_candidate const& a, beam_candidate const& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.parent != b.parent ? a.parent < b.parent : a.node < b.node;
  }
};

/// Calls visit(node) for every child of the row's node that the user's filter allows.
template <Real T, class Visit>
void for_each_child(beam_candidates<host_space, T> const& in, index_t user, index_t row, Visit&& visit) {
  node_t const node = in.nodes(row);
  for (node_t child = in.trie.first_child(node); child < in.trie.children_end(node); ++child)
    if (in.allowed.rows() == 0 || in.allowed(user, child)) visit(child);
}

/// The row's normalizer: log Σ exp over the vocabulary or over the allowed children.
template <Real T>
T row_normaliser(beam_candidates<host_space, T> const& in, index_t user, index_t row,
                 in_vector<backend, T> over_vocabulary) {
  if (!in.normalize_over_allowed) return over_vocabulary(row);
  T highest = -std::numeric_limits<T>::infinity(), sum{};
  for_each_child(in, user, row,
                 [&](node_t child) { highest = std::max(highest, in.logits(row, index(in.trie.token(child)))); });
  for_each_child(in, user, row,
                 [&](node_t child) { sum += std::exp(in.logits(row, index(in.trie.token(child))) - highest); });
  return highest + std::log(sum);
}

}  // namespace detail

/// Selects each user's best candidates. normalisers (rows): log Σ exp over the vocabulary; not read when
/// in.normalize_over_allowed.
template <Real T>
void select_beams(backend& b, beam_candidates<host_space, T> const& in, in_vector<backend, T> normalisers,
                  beam_choice<host_space, T> const& out) {
  for (index_t user = 0; user + 1 < in.row_offsets.size(); ++user) {
    index_t count = 0, kept = 0;
    for (index_t row = in.row_offsets(user); row < in.row_offsets(user + 1); ++row)
      count += in.trie.children_end(in.nodes(row)) - in.trie.first_child(in.nodes(row));
    scratch_scope<backend> const scope(b.scratch());
    auto const found = take<detail::beam_candidate<T>>(b, count);
    for (index_t row = in.row_offsets(user); row < in.row_offsets(user + 1); ++row) {
      T const base = in.scores(row) - detail::row_normaliser(in, user, row, normalisers);
      detail::for_each_child(in, user, row, [&](node_t child) {
        found(kept++) = {base + in.logits(row, index(in.trie.token(child))), static_cast<std::int32_t>(row), child};
      });
    }
    index_t const beams = std::min(kept, out.scores.columns());
    auto const better_first = [](auto const& x, auto const& y) { return better(x, y); };
    std::nth_element(found.data, found.data + beams, found.data + kept, better_first);
    std::sort(found.data, found.data + beams, better_first);
    out.counts(user) = beams;
    for (index_t i = 0; i < beams; ++i) {
      out.scores(user, i) = found(i).score;
      out.parents(user, i) = found(i).parent;
      out.nodes(user, i) = found(i).node;
    }
  }
}

}  // namespace mql4grec::reference
