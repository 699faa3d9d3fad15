#pragma once
// The gradients of one worker's shards, added in the order of optim/gradient.hpp as soon as that order permits: of n
// shards, at most log₂ n + 1 gradients are kept.
#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/optim/gradient.hpp"

namespace mql4grec::train {

/// The shards of one of a rank's workers. If there are fewer shards than workers, the first workers have one each.
[[nodiscard]] inline row_range shards_of_worker(row_range of_rank, worker_share which) {
  index_t const busy = std::min(of_rank.count, which.workers);
  if (which.worker >= busy) return {of_rank.first, 0};
  auto const part = worker_share{which.worker, busy}.of(of_rank.count);
  return {of_rank.first + part.first, part.count};
}

/// The gradients of the shards of a worker, which must outlive this object.
template <Backend B, class T>
class shard_gradients {
 public:
  /// For consecutive shards among `all_shards`, and gradients of so many entries.
  shard_gradients(B& worker, row_range shards, index_t all_shards, index_t entries)
      : shards_(shards), all_shards_(all_shards) {
    std::size_t most = 0;  // nodes at a time, while the next shard's gradient is computed
    std::vector<optim::shard_sum<char>> before;
    for (index_t s = shards.first; s < shards.first + shards.count; ++s) {
      most = std::max(most, before.size() + 1);
      optim::append(before, all_shards, {s, 1, {}}, [](char, char) {});
    }
    for (std::size_t i = 0; i < most; ++i) memory_.push_back(worker.template allocate<T>(entries));
  }

  /// What is left of the gradients.
  std::span<optim::shard_sum<out_vector<B, T>> const> nodes() const { return nodes_; }
  /// The place of the first shard's gradient, and of the sum of all nodes if it is the first shard of all. There must
  /// be a shard.
  out_vector<B, T> front() { return memory_.front().view_all(); }
  /// The same, const.
  in_vector<B, T> front() const { return memory_.front().view_all(); }

  /// Calls compute(shard, gradient) for each shard, whose gradient is zeros before, and adds the gradients. The last
  /// shard's is a node of its own, which exists before it is computed, so that what is final of it can be summed
  /// meanwhile.
  template <class Compute>
  void add(B& worker, Compute const& compute) {
    std::vector<out_vector<B, T>> unused;
    for (auto one = memory_.rbegin(); one != memory_.rend(); ++one) unused.push_back(one->view_all());
    nodes_.clear();
    for (index_t shard = shards_.first; shard < shards_.first + shards_.count; ++shard) {
      auto const gradient = unused.back();
      unused.pop_back();
      fill<T>(worker, gradient, T{});
      bool const is_last = shard + 1 == shards_.first + shards_.count;
      if (is_last) nodes_.push_back({shard, 1, gradient});
      compute(shard, gradient);
      if (is_last) return;
      optim::append(nodes_, all_shards_, optim::shard_sum<out_vector<B, T>>{shard, 1, gradient},
                    [&](out_vector<B, T> to, out_vector<B, T> from) {
                      accumulate<T>(worker, from, to);
                      unused.push_back(from);
                    });
    }
  }

 private:
  row_range shards_;
  index_t all_shards_;
  std::vector<buffer<T, typename B::memory_space>> memory_;
  std::vector<optim::shard_sum<out_vector<B, T>>> nodes_;
};

}  // namespace mql4grec::train
