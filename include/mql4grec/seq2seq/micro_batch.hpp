#pragma once
// Cuts a batch into micro-batches: consecutive sequences that one worker computes at once. A few hundred tokens keep
// the activations in the cache. Offsets start at 0 in every micro-batch; first_row is the place of its first row in the
// batch, by which dropout numbers rows.
#include <algorithm>
#include <vector>

#include "mql4grec/backend/contract/packed_tokens.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/seq2seq/sublayers.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::seq2seq {

/// The approximate cost of a sequence: its input and target tokens. It balances the workers.
inline index_t cost(tasks::batch const& all, index_t sequence) {
  index_t const targets = std::ssize(all.target_offsets) > sequence + 1 ? std::ssize(all.target(sequence)) : 0;
  return std::ssize(all.input(sequence)) + targets;
}

/// How a batch is cut into micro-batches.
struct micro_batch_options {
  index_t tokens = 512;  ///< the most tokens of a micro-batch, not counting its last sequence
  index_t shards = 1;    ///< the shards that they belong to; their number is a multiple of this
};

/// Cuts a batch into consecutive micro-batches of equal cost, as few as `tokens` allows. So shards of equal numbers of
/// consecutive ones cost as much. Each contains at least one sequence, however long; a batch of few sequences has fewer
/// micro-batches than shards.
inline void cut_into_micro_batches(tasks::batch const& all, micro_batch_options const& how,
                                   std::vector<tasks::micro_batch>& out) {
  out.clear();
  index_t const total = std::ssize(all.inputs) + std::ssize(all.targets);
  index_t const round = std::clamp<index_t>(how.tokens, 1, std::max<index_t>(1, total)) * how.shards;
  index_t const parts = (total + round - 1) / round * how.shards;
  index_t first = 0, sum = 0;
  for (index_t s = 0; s < all.size(); ++s) {
    sum += cost(all, s);
    if (sum * parts < total * (std::ssize(out) + 1)) continue;
    out.push_back({first, s + 1});
    first = s + 1;
  }
}

namespace detail {

/// A micro-batch in the memory that the worker's kernels read. What isn't the batch's own memory is the worker's
/// scratch.
template <class B>
struct token_block {
  in_vector<B, token_t> inputs;
  in_vector<B, token_t> targets;
  in_vector<B, token_t> decoder_inputs;  ///< targets shifted right by one, <pad> first (T5's _shift_right)
  packed_rows<B> input_rows, target_rows;
  index_t cross_pairs = 0;  ///< Σ over sequences of target · input tokens
};

/// The rows of a micro-batch's sequences; offsets are written to the scratch.
template <class B>
packed_rows<B> take_rows(B& b, std::vector<index_t> const& offsets, tasks::micro_batch part) {
  packed_rows<B> rows{.first_row = offsets[to_size(part.first)]};
  auto const write = [&](host_vector_view<index_t> moved) {
    for (index_t s = 0; s < moved.size(); ++s) {
      moved(s) = offsets[to_size(part.first + s)] - rows.first_row;
      if (s == 0) continue;
      index_t const length = moved(s) - moved(s - 1);
      rows.longest = std::max(rows.longest, length);
      rows.pairs += length * length;
    }
    rows.rows = moved(moved.size() - 1);
  };
  rows.offsets = device_copy<index_t, B>(b, part.last - part.first + 1, write).view_all();
  return rows;
}

/// The tokens of some rows of a batch.
template <class B>
in_vector<B, token_t> take_tokens(B& b, std::vector<token_t> const& tokens, packed_rows<B> const& rows) {
  return device_copy(b, view_of(std::span(tokens)).part(rows.first_row, rows.rows)).view_all();
}

/// The decoder's inputs for these targets, in the scratch.
template <class B>
in_vector<B, token_t> take_shifted(B& b, in_vector<B, token_t> targets, packed_rows<B> const& rows,
                                   t5_config const& c) {
  static_assert(PackingOps<B>,
                "this backend has no gather_sequences or shift_right; add them in backend/<name>/packed_tokens.hpp");
  auto const shifted = take<token_t>(b, rows.rows);
  shift_right(b, targets, rows.offsets, c.pad, shifted);
  return shifted;
}

/// A micro-batch of a batch; without targets if the batch has none.
template <class B>
token_block<B> take_block(B& b, tasks::batch const& all, tasks::micro_batch part, t5_config const& c) {
  token_block<B> block;
  block.input_rows = take_rows(b, all.input_offsets, part);
  block.inputs = take_tokens(b, all.inputs, block.input_rows);
  if (all.targets.empty()) return block;
  block.target_rows = take_rows(b, all.target_offsets, part);
  block.targets = take_tokens(b, all.targets, block.target_rows);
  block.decoder_inputs = take_shifted(b, block.targets, block.target_rows, c);
  for (index_t s = part.first; s < part.last; ++s)
    block.cross_pairs += std::ssize(all.target(s)) * std::ssize(all.input(s));
  return block;
}

}  // namespace detail
}  // namespace mql4grec::seq2seq
