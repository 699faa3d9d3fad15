#pragma once
// A block is a stretch of a batch that one lane computes at once. Blocks of a few hundred tokens keep activations in the
// cache; offsets start at 0 in every block, and first_row remembers where it stood in the batch.
#include <algorithm>
#include <vector>

#include "mql4grec/seq2seq/sublayers.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec {

/// Rough cost of a sequence in token rows of the whole model; balances the lanes.
inline index_t cost(batch const& all, index_t sequence) {
  index_t const targets = std::ssize(all.target_offsets) > sequence + 1 ? std::ssize(all.target(sequence)) : 0;
  return std::ssize(all.input(sequence)) + targets;
}

/// Cuts a batch into consecutive stretches of about `tokens` tokens each, at least one a sequence long.
inline void cut_into_stretches(batch const& all, index_t tokens, std::vector<stretch>& out) {
  out.clear();
  index_t first = 0, sum = 0;
  for (index_t s = 0; s < all.size(); ++s) {
    sum += cost(all, s);
    if (sum < tokens && s + 1 < all.size()) continue;
    out.push_back({first, s + 1});
    first = s + 1;
    sum = 0;
  }
}

namespace detail {

/// A stretch on a host backend's lane, taken from its scratch.
template <class B>
struct token_block {
  in_vector<B, token_t> inputs;
  in_vector<B, token_t> targets;
  in_vector<B, token_t> decoder_inputs;  ///< targets moved one place to the right, <pad> in front (T5's _shift_right)
  packed_rows<B> input_rows, target_rows;
};

template <class B>
packed_rows<B> take_rows(B& b, std::vector<index_t> const& offsets, stretch part) {
  auto const place = b.scratch().template take<index_t>(part.last - part.first + 1);
  packed_rows<B> rows{.first_row = offsets[static_cast<std::size_t>(part.first)]};
  for (index_t s = 0; s < place.size(); ++s) {
    place(s) = offsets[static_cast<std::size_t>(part.first + s)] - rows.first_row;
    if (s > 0) rows.longest = std::max(rows.longest, place(s) - place(s - 1));
  }
  rows.offsets = place;
  rows.rows = place(place.size() - 1);
  return rows;
}

template <class B>
token_block<B> take_block(B& b, batch const& all, stretch part, t5_config const& c) {
  token_block<B> block;
  block.input_rows = take_rows(b, all.input_offsets, part);
  block.inputs = {all.inputs.data() + block.input_rows.first_row, block.input_rows.rows};
  if (all.targets.empty()) return block;
  block.target_rows = take_rows(b, all.target_offsets, part);
  block.targets = {all.targets.data() + block.target_rows.first_row, block.target_rows.rows};
  auto const shifted = b.scratch().template take<token_t>(block.target_rows.rows);
  for (index_t s = 0; s < block.target_rows.sequences(); ++s)
    for (index_t i = block.target_rows.offsets(s); i < block.target_rows.offsets(s + 1); ++i)
      shifted(i) = i == block.target_rows.offsets(s) ? c.pad : block.targets(i - 1);
  block.decoder_inputs = shifted;
  return block;
}

/// Σ over sequences of heads · queries · keys: the places that attention weights need.
template <class B>
index_t score_count(t5_config const& c, packed_rows<B> const& queries, packed_rows<B> const& keys) {
  index_t sum = 0;
  for (index_t s = 0; s < queries.sequences(); ++s)
    sum += (queries.offsets(s + 1) - queries.offsets(s)) * (keys.offsets(s + 1) - keys.offsets(s));
  return sum * c.heads;
}

}  // namespace detail
}  // namespace mql4grec
