#pragma once
// Batches that several ranks compute together. The cut into micro-batches depends on the lengths of all sequences, so
// every rank knows these; it has the tokens of its own shards' sequences, and zeros in the place of the others:
//
//     rank 0        rank 1
//     a a a 0 0     0 0 0 b b     tokens; the offsets are those of the whole batch on both
#include <algorithm>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/seq2seq/micro_batch.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::seq2seq::detail {

/// The part of a batch that a rank computes.
struct rank_share {
  micro_batch_options cut;  ///< into the micro-batches of all shards
  row_range shards;         ///< those of this rank
};

/// The sequences of some shards of a batch that has been cut into `parts`.
inline row_range sequences_of(std::span<tasks::micro_batch const> parts, rank_share const& share) {
  auto const begin = [&](index_t shard) { return worker_share{shard, share.cut.shards}.of(std::ssize(parts)).first; };
  index_t const first = begin(share.shards.first), last = begin(share.shards.first + share.shards.count);
  if (first == last) return {0, 0};
  index_t const sequence = parts[to_size(first)].first;
  return {sequence, parts[to_size(last - 1)].last - sequence};
}

/// Writes batches of which each rank has a share. A rank writes an equal number of consecutive sequences, the ranks add
/// up the lengths that they found, and each then writes what its shards contain besides; by far the most of it is what
/// it has written before. Keeps its memory from batch to batch.
class shared_batch_writer {
 public:
  /// Sets `all` to so many sequence pairs, of which write(i, to) appends number i to a batch. All ranks call it.
  template <Backend B, class Comm, class Write>
  void write(B& b, Comm& communicator, rank_share const& share, index_t sequences, Write const& write_one,
             tasks::batch& all) {
    auto const equal = worker_share{communicator.rank(), communicator.world_size()}.of(sequences);
    written_.clear();
    for (index_t i = equal.first; i < equal.first + equal.count; ++i) write_one(i, written_);
    lengths_.assign(to_size(2 * sequences), 0);
    for (index_t i = 0; i < equal.count; ++i) {
      lengths_[to_size(2 * (equal.first + i))] = static_cast<double>(written_.input(i).size());
      lengths_[to_size(2 * (equal.first + i) + 1)] = static_cast<double>(written_.target(i).size());
    }
    communicator.all_reduce(b, std::span(lengths_));  // zeros of all ranks but one: exact
    set_offsets(sequences, all);
    cut_into_micro_batches(all, share.cut, parts_);
    auto const own = sequences_of(parts_, share);
    for (index_t i = own.first; i < own.first + own.count; ++i) {
      bool const is_written = i >= equal.first && i < equal.first + equal.count;
      if (!is_written) {
        other_.clear();
        write_one(i, other_);
      }
      place(is_written ? written_ : other_, is_written ? i - equal.first : 0, i, all);
    }
  }

 private:
  void set_offsets(index_t sequences, tasks::batch& all) const {
    all.clear();
    for (index_t i = 0; i < sequences; ++i) {
      all.input_offsets.push_back(all.input_offsets.back() + static_cast<index_t>(lengths_[to_size(2 * i)]));
      all.target_offsets.push_back(all.target_offsets.back() + static_cast<index_t>(lengths_[to_size(2 * i + 1)]));
    }
    all.inputs.resize(to_size(all.input_offsets.back()), token_t{0});
    all.targets.resize(to_size(all.target_offsets.back()), token_t{0});
  }
  /// Copies sequence pair `from` of a batch to the place of pair `to` of `all`.
  static void place(tasks::batch const& written, index_t from, index_t to, tasks::batch& all) {
    std::ranges::copy(written.input(from), all.inputs.begin() + all.input_offsets[to_size(to)]);
    std::ranges::copy(written.target(from), all.targets.begin() + all.target_offsets[to_size(to)]);
  }

  tasks::batch written_, other_;
  std::vector<double> lengths_;  // (2·sequences) of input and target
  std::vector<tasks::micro_batch> parts_;
};

}  // namespace mql4grec::seq2seq::detail
