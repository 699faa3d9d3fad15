#pragma once
// The sum of the gradients of all shards, when ranks have computed some shards each; the order is that of
// optim/gradient.hpp. A flat vector is divided into as many parts as there are shards, and each rank adds up the parts
// with the numbers of its shards:
//
//     rank 0   nodes of shards 0 1   ──┐ all_to_all ┌──►  parts 0 1 of all nodes ─► their sum
//     rank 1   nodes of shards 2 3   ──┘            └──►  parts 2 3 of all nodes ─► their sum
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::train {

/// Adds the gradients of shards that several ranks have computed. The bits don't depend on the number of ranks.
template <Backend B, class T>
class rank_sums {
 public:
  /// For gradients of so many entries. Throws error for fewer shards than ranks.
  rank_sums(index_t shards, index_t rank, index_t world_size, index_t entries) : shards_(shards), rank_(rank) {
    expects(shards >= world_size, "training: ", shards, " gradient_shards for ", world_size,
            " ranks, expected at least one for each");
    for (index_t r = 0; r <= world_size; ++r) {
      index_t const shard = shards * r / world_size;  // as worker_share divides them
      first_shards_.push_back(shard);
      offsets_.push_back(entries * shard / shards);
    }
  }

  /// The number of shards of all ranks.
  index_t shards() const { return shards_; }
  /// The shards of this rank.
  row_range own_shards() const { return shards_of(rank_); }
  /// The offsets of the ranks' parts of a flat vector.
  std::span<index_t const> offsets() const { return offsets_; }
  /// This rank's part of a flat vector.
  row_range own_part() const {
    auto const r = to_size(rank_);
    return {offsets_[r], offsets_[r + 1] - offsets_[r]};
  }

  /// Adds the nodes of all ranks and leaves the sum's own part in that of `sum`, which may be the first node's
  /// gradient. `nodes`: what is left of the gradients of the rank's shards.
  template <Communicator<B, T> Comm>
  void reduce_scatter(B& b, Comm& communicator, std::span<optim::shard_sum<out_vector<B, T>> const> nodes,
                      out_vector<B, T> sum) {
    index_t const ranks = communicator.world_size(), size = own_part().count;
    std::vector<std::vector<optim::shard_sum<char>>> of_ranks;
    std::size_t rounds = 0;
    index_t count = 0;
    for (index_t r = 0; r < ranks; ++r) {
      of_ranks.push_back(optim::nodes_of(shards_of(r), shards_));
      rounds = std::max(rounds, of_ranks.back().size());
      count += std::ssize(of_ranks.back());
    }
    if (received_.size() < count * size) received_ = b.template allocate<T>(count * size);
    // one node of each rank at a time, so that gradients are sent from where they are
    std::vector<optim::shard_sum<out_vector<B, T>>> parts;
    std::vector<index_t> const nothing(to_size(ranks + 1), 0);
    index_t used = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
      std::vector<index_t> places = {used};
      for (auto const& others : of_ranks) {
        bool const has = i < others.size();
        if (has) parts.push_back({others[i].first, others[i].size, received_.view_all().part(used, size)});
        places.push_back(used += has ? size : 0);
      }
      bool const sends = i < nodes.size();
      communicator.all_to_all(b, sends ? in_vector<B, T>(nodes[i].gradient) : in_vector<B, T>(sum),
                              sends ? offsets() : std::span<index_t const>(nothing), received_.view_all(),
                              std::span<index_t const>(places));
    }
    std::ranges::sort(parts, {}, [](auto const& part) { return part.first; });
    optim::add_nodes<T>(b, shards_, parts);
    copy<T>(b, in_vector<B, T>(parts.front().gradient), sum.part(own_part().first, size));
  }

 private:
  row_range shards_of(index_t r) const {
    return {first_shards_[to_size(r)], first_shards_[to_size(r + 1)] - first_shards_[to_size(r)]};
  }

  index_t shards_, rank_;
  std::vector<index_t> first_shards_, offsets_;
  buffer<T, typename B::memory_space> received_;
};

}  // namespace mql4grec::train
