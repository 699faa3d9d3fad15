#pragma once
// A thread a user. It keeps the best candidates sorted in the output while it walks over the beams and their children; that order is
// also the order of equal scores, so that a later candidate never passes an equal one.
#include <limits>

#include "mql4grec/backend/beam.hpp"
#include "mql4grec/backend/gpu/cross_entropy.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class System, Real T>
struct select_for_user {
  beam_candidates<device_space<System>, T> in;
  T const* normalisers;
  beam_choice<device_space<System>, T> out;

  MQL4GREC_HD bool allowed(index_t user, node_t child) const { return in.allowed.rows() == 0 || in.allowed(user, child); }
  MQL4GREC_HD T logit(index_t row, node_t child) const { return in.logits(row, index(in.trie.token(child))); }

  /// log Σ exp over the children that the user may reach.
  MQL4GREC_HD T children_normaliser(index_t user, index_t row, node_t first, node_t last) const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    T highest = -infinity, sum{};
    for (node_t child = first; child < last; ++child)
      if (allowed(user, child) && logit(row, child) > highest) highest = logit(row, child);
    for (node_t child = first; child < last; ++child)
      if (allowed(user, child)) sum += std::exp(logit(row, child) - highest);
    return highest + std::log(sum);
  }
  MQL4GREC_HD void operator()(index_t user) const {
    index_t const most = out.scores.columns();
    index_t kept = 0;
    for (index_t row = in.row_offsets(user); row < in.row_offsets(user + 1); ++row) {
      node_t const first = in.trie.first_child(in.nodes(row)), last = in.trie.first_child(in.nodes(row) + 1);
      T const base = in.scores(row) - (in.over_children ? children_normaliser(user, row, first, last) : normalisers[row]);
      for (node_t child = first; child < last; ++child)
        if (allowed(user, child)) kept = put(user, kept, most, base + logit(row, child), static_cast<std::int32_t>(row), child);
    }
    out.counts(user) = kept;
  }
  MQL4GREC_HD index_t put(index_t user, index_t kept, index_t most, T score, std::int32_t parent, node_t node) const {
    if (kept == most && !(score > out.scores(user, most - 1))) return kept;
    index_t at = kept < most ? kept++ : most - 1;
    for (; at > 0 && score > out.scores(user, at - 1); --at) {
      out.scores(user, at) = out.scores(user, at - 1);
      out.parents(user, at) = out.parents(user, at - 1);
      out.nodes(user, at) = out.nodes(user, at - 1);
    }
    out.scores(user, at) = score;
    out.parents(user, at) = parent;
    out.nodes(user, at) = node;
    return kept;
  }
};

}  // namespace detail

// normalisers (rows): log Σ exp over the vocabulary, not read when in.over_children.
template <Real T, class System>
void select_beams(backend<System>& b, beam_candidates<device_space<System>, T> const& in, in_vector<backend<System>, T> normalisers,
                  beam_choice<device_space<System>, T> const& out) {
  detail::for_each_index(b, in.row_offsets.size() - 1, detail::select_for_user<System, T>{in, normalisers.data, out});
}

}  // namespace mql4grec::gpu
