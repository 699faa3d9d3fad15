#pragma once
// Builds batches of packed sequences on the device.
#include "mql4grec/backend/contract/packed_tokens.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Computes the offsets of all sequences, with a single group. Each member handles some consecutive sequences.
template <class System>
struct place_sequences {
  static constexpr int threads = 1024;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t const* from_offsets;
  view<index_t const, device_space<System>, 1> which;
  index_t rows;
  view<index_t, device_space<System>, 1> offsets;

  MQL4GREC_HD index_t length(index_t s) const { return from_offsets[which(s) + 1] - from_offsets[which(s)]; }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t) const {
    index_t const n = which.size(), fillers = offsets.size() - 1 - n, each = (n + threads - 1) / threads;
    typename ThreadGroup::template local<index_t> place;
    group.each([&](int t) {
      place[t] = 0;
      for (index_t s = t * each; s < n && s < (t + 1) * each; ++s) place[t] += length(s);
    });
    index_t const used = group.exclusive_scan(place);
    group.each([&](int t) {
      for (index_t s = t * each; s < n && s < (t + 1) * each; ++s) {
        offsets(s) = place[t];
        place[t] += length(s);
      }
      for (index_t f = t; f <= fillers; f += threads)
        offsets(n + f) = f == 0 ? used : used + (rows - used) * f / fillers;
    });
  }
};

/// One warp per sequence.
template <class System>
struct write_sequence {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  packed_tokens<device_space<System>, token_t const> from;
  view<index_t const, device_space<System>, 1> which;
  token_t filler;
  packed_tokens<device_space<System>> to;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t s) const {
    index_t const begin = to.offsets(s), length = to.offsets(s + 1) - begin;
    token_t const* const source = s < which.size() ? from.tokens.data + from.offsets(which(s)) : nullptr;
    group.each([&](int t) {
      for (index_t i = t; i < length; i += threads) to.tokens(begin + i) = source ? source[i] : filler;
    });
  }
};

template <class System>
struct shift_sequence {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  token_t const* tokens;
  index_t const* offsets;
  token_t first;
  token_t* shifted;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t s) const {
    index_t const begin = offsets[s], end = offsets[s + 1];
    group.each([&](int t) {
      for (index_t i = begin + t; i < end; i += threads)
        shifted[i] = i == begin || tokens[i - 1] == no_target ? first : tokens[i - 1];
    });
  }
};

}  // namespace detail

/// to = the sequences of `from` with the numbers `which`. `to` may have more sequences than that: its remaining rows
/// are divided evenly among the additional sequences, and contain `filler`.
template <class System>
void gather_sequences(backend<System>& b, packed_tokens<device_space<System>, token_t const> from,
                      in_vector<backend<System>, index_t> which, token_t filler,
                      packed_tokens<device_space<System>> to) {
  detail::for_each_group(b, 1, detail::place_sequences<System>{from.offsets.data, which, to.tokens.size(), to.offsets});
  detail::for_each_group(b, to.sequences(), detail::write_sequence<System>{from, which, filler, to});
}

/// shifted = tokens moved one position to the right within each sequence. Every sequence begins with `first`, which
/// also replaces no_target.
template <class System>
void shift_right(backend<System>& b, in_vector<backend<System>, token_t> tokens,
                 in_vector<backend<System>, index_t> offsets, token_t first,
                 out_vector<backend<System>, token_t> shifted) {
  detail::for_each_group(b, offsets.size() - 1,
                         detail::shift_sequence<System>{tokens.data, offsets.data, first, shifted.data});
}

}  // namespace mql4grec::gpu
