#pragma once
// The sum of the gradients of all shards, when ranks have computed some shards each; the order is that of
// optim/gradient.hpp. A range of the flat vector is divided into as many parts as there are ranks, and each rank adds
// up one of them:
//
//     rank 0   nodes of shards 0 1   ──┐ all_to_all ┌──►  part 0 of all nodes ─► its sum ──┐ all_gather
//     rank 1   nodes of shards 2 3   ──┘            └──►  part 1 of all nodes ─► its sum ──┘
//
// Which rank adds an entry doesn't change its bits. So ranges can be summed one after the other, as they become final.
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::train {

/// The threads that add.
enum class adding_threads {
  all_workers,  ///< those of the backend, which must be idle
  caller        ///< the calling thread, while the backend's workers compute
};

/// Entries of a flat gradient that are summed at once.
struct gradient_range {
  index_t first, count;  ///< the first entry; the number of entries
  index_t final_at;      ///< they are final when a backward pass has reported this entry

  bool operator==(gradient_range const&) const = default;
};

/// The ranges of a flat gradient of `entries` entries, in the order in which they become final. `reported`: the entries
/// that the backward pass reports, from the last one down: those from there to `last` are then final. What it doesn't
/// report is final at the end, which is reported as entry 0. Each range but the last ones has at least `at_least`
/// entries; 0: one range of all.
[[nodiscard]] inline std::vector<gradient_range> ranges_of(std::span<index_t const> reported, index_t last,
                                                           index_t entries, index_t at_least) {
  if (at_least == 0) return {{0, entries, 0}};
  std::vector<gradient_range> ranges;
  index_t end = last;
  for (index_t const first : reported) {
    if (end - first < at_least) continue;
    ranges.push_back({first, end - first, first});
    end = first;
  }
  ranges.push_back({0, end, 0});
  if (last < entries) ranges.push_back({last, entries - last, 0});
  return ranges;
}

/// Adds the gradients of shards that several ranks have computed. The bits don't depend on the number of ranks.
template <Backend B, class T>
class rank_sums {
 public:
  /// What is left of the gradients of some shards.
  using node = optim::shard_sum<out_vector<B, T>>;

  /// For gradients of so many entries. Throws error for fewer shards than ranks.
  rank_sums(index_t shards, index_t rank, index_t world_size, index_t entries) : shards_(shards), rank_(rank) {
    expects(shards >= world_size, "training: ", shards, " gradient_shards for ", world_size,
            " ranks, expected at least one for each");
    for (index_t r = 0; r <= world_size; ++r) {
      index_t const shard = worker_share{r, world_size}.of(shards).first;
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
  /// The offsets of a range's parts, relative to its beginning: what the ranks' parts of the flat vector have of it,
  /// ...
  std::vector<index_t> owned_parts(gradient_range const& range) const {
    std::vector<index_t> parts;
    for (index_t const offset : offsets_)
      parts.push_back(std::clamp(offset, range.first, range.first + range.count) - range.first);
    return parts;
  }
  /// ... or equal parts.
  std::vector<index_t> equal_parts(gradient_range const& range) const {
    std::vector<index_t> parts;
    index_t const ranks = std::ssize(offsets_) - 1;
    for (index_t r = 0; r <= ranks; ++r) parts.push_back(worker_share{r, ranks}.of(range.count).first);
    return parts;
  }

  /// Adds what can be added of this rank's nodes.
  void add(B& b, adding_threads who, std::vector<node>& nodes) const {
    if (who == adding_threads::all_workers)
      optim::add_nodes<T>(b, shards_, nodes);
    else
      nodes = optim::added_nodes<T>(b, shards_, nodes, {0, nodes.front().gradient.size()});
  }
  /// Adds the nodes of all ranks, and leaves the sum of this rank's part, of those with the offsets `parts`, in the
  /// first node. `nodes`: what add() has left; their gradients are whole ranges.
  template <Communicator<B, T> Comm>
  void reduce_scatter(B& b, Comm& communicator, adding_threads who, std::span<index_t const> parts,
                      std::vector<node> const& nodes) {
    index_t const ranks = communicator.world_size(), size = parts[to_size(rank_ + 1)] - parts[to_size(rank_)];
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
    std::vector<node> sums;
    std::vector<index_t> const nothing(to_size(ranks + 1), 0);
    out_vector<B, T> const result = nodes.front().gradient;
    index_t used = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
      std::vector<index_t> places = {used};
      for (auto const& others : of_ranks) {
        bool const has = i < others.size();
        if (has) sums.push_back({others[i].first, others[i].size, received_.view_all().part(used, size)});
        places.push_back(used += has ? size : 0);
      }
      bool const sends = i < nodes.size();
      communicator.all_to_all(b, in_vector<B, T>(sends ? nodes[i].gradient : result),
                              sends ? parts : std::span<index_t const>(nothing), received_.view_all(),
                              std::span<index_t const>(places));
    }
    std::ranges::sort(sums, {}, &node::first);
    add(b, who, sums);
    copy<T>(b, in_vector<B, T>(sums.front().gradient), result.part(parts[to_size(rank_)], size));
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
