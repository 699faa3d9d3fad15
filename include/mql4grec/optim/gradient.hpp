#pragma once
// Sums of gradients in a fixed order. A batch is divided into numbered shards, and their gradients are added in the
// order of a binary tree over the shards' numbers. So the sum depends on the number of shards and not on who adds which
// of them:
//
//     shard   0   1   2   3   4   5          worker or rank A has shards 0 … 2, B the others:
//              ╲ ╱     ╲ ╱     ╲ ╱             A adds 0 + 1
//               └───┬───┘       │              B adds 4 + 5
//                   └─────┬─────┘              what is left, (0 + 1), 2, 3 and (4 + 5), is added by whoever has all
//                   four
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// A node of the tree: the sum of the shards first … first + size − 1, of those of them that exist. `size` is a power
/// of two and `first` a multiple of it.
template <class Values>
struct shard_sum {
  index_t first;    ///< number of the first shard
  index_t size;     ///< shards of the node
  Values gradient;  ///< the sum, or how to find it
};

/// Appends a node to those of the shards before it, and adds nodes as far as they are the two halves of another one:
/// calls add(left, right) for the halves' gradients, which must leave the sum in the left one. When the nodes of all
/// `shards` shards have been appended, one node is left.
template <class Values, class Add>
void append(std::vector<shard_sum<Values>>& nodes, index_t shards, shard_sum<Values> next, Add const& add) {
  for (nodes.push_back(next); nodes.back().size < shards;) {
    auto& last = nodes.back();
    if (last.first % (2 * last.size) == 0) {
      if (last.first + last.size < shards) return;
      last.size *= 2;  // there is no right half
      continue;
    }
    if (nodes.size() < 2 || nodes[nodes.size() - 2].first != last.first - last.size ||
        nodes[nodes.size() - 2].size != last.size)
      return;
    add(nodes[nodes.size() - 2].gradient, last.gradient);
    nodes.pop_back();
    nodes.back().size *= 2;
  }
}

/// The nodes that are left of the shards first … first + count − 1, without their gradients.
[[nodiscard]] inline std::vector<shard_sum<char>> nodes_of(row_range some, index_t shards) {
  std::vector<shard_sum<char>> nodes;
  for (index_t s = some.first; s < some.first + some.count; ++s) append(nodes, shards, {s, 1, {}}, [](char, char) {});
  return nodes;
}

/// Adds what can be added of some nodes in the order of their shards, a part of their entries, and returns the nodes
/// that are left. A sum replaces the gradient of its first node. All gradients have the same size. The calling thread
/// does it.
template <class T, class B>
[[nodiscard]] std::vector<shard_sum<out_vector<B, T>>> added_nodes(
    B& worker, index_t shards, std::vector<shard_sum<out_vector<B, T>>> const& nodes, row_range part) {
  std::vector<shard_sum<out_vector<B, T>>> left;
  for (auto const& node : nodes)
    append(left, shards, node, [&](out_vector<B, T> to, out_vector<B, T> from) {
      accumulate<T>(worker, from.part(part.first, part.count), to.part(part.first, part.count));
    });
  return left;
}

/// Adds what can be added of some nodes, each worker a part of the entries, and removes the nodes that were added to
/// others.
template <class T, class B>
void add_nodes(B& b, index_t shards, std::vector<shard_sum<out_vector<B, T>>>& nodes) {
  auto const all = nodes;
  for_each_worker(b, [&](B& worker, index_t which) {
    auto left = added_nodes<T>(worker, shards, all, worker_share{which, b.workers()}.of(all.front().gradient.size()));
    if (which == 0) nodes = std::move(left);
  });
}

/// The sums of the squares of `parts` equal parts of a vector, of some of these parts; zeros for the others.
template <class T, class B>
[[nodiscard]] std::vector<double> squares_of_parts(B& b, std::type_identity_t<in_vector<B, T>> x, index_t parts,
                                                   row_range some) {
  std::vector<double> squares(to_size(parts), 0);
  for_each_worker(b, [&](B& worker, index_t which) {
    auto const mine = worker_share{which, b.workers()}.of(some.count);
    for (index_t p = some.first + mine.first; p < some.first + mine.first + mine.count; ++p) {
      auto const part = worker_share{p, parts}.of(x.size());
      squares[to_size(p)] = static_cast<double>(sum_of_squares<T>(worker, x.part(part.first, part.count)));
    }
  });
  return squares;
}

/// Adds the workers' gradients to the first one, with each worker's as a shard, and returns the norm of the sum. All
/// gradients have the same size; there is at least one.
template <class T, class B>
double reduce_gradients(B& b, std::span<out_vector<B, T> const> gradients) {
  std::vector<shard_sum<out_vector<B, T>>> nodes;
  for (index_t w = 0; w < std::ssize(gradients); ++w) nodes.push_back({w, 1, gradients[to_size(w)]});
  add_nodes<T>(b, std::ssize(gradients), nodes);
  auto const squares = squares_of_parts<T>(b, gradients.front(), b.workers(), {0, b.workers()});
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

}  // namespace mql4grec::optim
