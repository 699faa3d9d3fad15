#pragma once
// k-means++ seeding (Arthur & Vassilvitskii, SODA 2007), then Lloyd's iterations. Rows are handled in blocks that don't depend on the
// number of lanes, and the blocks' sums are added in their order: any number of lanes gives the same bits.
#include <algorithm>
#include <atomic>
#include <numeric>
#include <vector>

#include "mql4grec/backend/copy.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/quantize/assignment.hpp"

namespace mql4grec {

struct kmeans_options {
  index_t iterations = 20;   ///< at most
  double tolerance = 1e-4;   ///< ends when the error falls by less than this share
  std::uint64_t seed = 42;

  bool operator==(kmeans_options const&) const = default;
};

struct kmeans_result {
  double error = 0;        ///< mean squared distance of a row to its vector
  index_t iterations = 0;  ///< made
  index_t repaired = 0;    ///< vectors without rows that were put onto the row with the highest error

  bool operator==(kmeans_result const&) const = default;
};

/// What k-means asks of a backend.
template <class B>
concept KmeansOps = NearestCodeOps<B, float> && requires(B& b, in_matrix<B, float> x, out_matrix<B, float> y, in_vector<B, code_t> codes, out_vector<B, float> v) {
  squared_distances<float>(b, x, x, y);
  add_to_codes<float>(b, x, codes, y, v);
};

namespace detail {

template <Backend B>
  requires std::same_as<typename B::memory_space, host_space>
class kmeans_run {
  static_assert(KmeansOps<B>, "this backend has no add_to_codes for float; add it in backend/<name>/nearest_code.hpp");

 public:
  kmeans_run(B& backend, in_matrix<B, float> rows, out_matrix<B, float> vectors)
      : backend_(backend), rows_(rows), vectors_(vectors), block_(std::max<index_t>(1024, (rows.rows() + most_blocks - 1) / most_blocks)),
        blocks_((rows.rows() + block_ - 1) / block_), codes_(static_cast<std::size_t>(rows.rows())), distances_(static_cast<std::size_t>(rows.rows())) {}

  void seed(random_stream random) {
    std::ranges::fill(distances_, std::numeric_limits<float>::infinity());
    index_t chosen = random.below(rows_.rows());
    for (index_t k = 0; k < vectors_.rows(); ++k) {
      copy(rows_.row(chosen), vectors_.row(k));
      if (k + 1 == vectors_.rows()) return;
      double const all = come_closer(k);
      chosen = all > 0 ? weighed_row(random.uniform() * all) : random.below(rows_.rows());  // all rows are vectors already
    }
  }

  /// Every row to its nearest vector; the mean squared distance.
  double assign() {
    std::vector<double> sums(static_cast<std::size_t>(blocks_));
    for_each_block([&](B& lane, index_t block, index_t first, index_t count) {
      auto const distances = view_of(std::span(distances_)).part(first, count);
      nearest_code<float>(lane, rows_.row_block(first, count), vectors_, view_of(std::span(codes_)).part(first, count), distances);
      for (index_t i = 0; i < count; ++i) sums[static_cast<std::size_t>(block)] += static_cast<double>(distances(i));
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(rows_.rows());
  }

  /// Every vector to the mean of its rows; the number of those that had none.
  index_t move() {
    index_t const k = vectors_.rows(), w = vectors_.columns();
    std::vector<float> sums(static_cast<std::size_t>(blocks_ * k * w)), counts(static_cast<std::size_t>(blocks_ * k));
    for_each_block([&](B& lane, index_t block, index_t first, index_t count) {
      add_to_codes<float>(lane, rows_.row_block(first, count), view_of(std::span<code_t const>(codes_)).part(first, count),
                          out_matrix<B, float>(sums.data() + block * k * w, k, w), out_vector<B, float>(counts.data() + block * k, k));
    });
    std::vector<index_t> empty;
    for (index_t c = 0; c < k; ++c) {
      double rows = 0;
      for (index_t block = 0; block < blocks_; ++block) rows += static_cast<double>(counts[static_cast<std::size_t>(block * k + c)]);
      if (rows == 0) {
        empty.push_back(c);
        continue;
      }
      for (index_t j = 0; j < w; ++j) {
        double sum = 0;
        for (index_t block = 0; block < blocks_; ++block) sum += static_cast<double>(sums[static_cast<std::size_t>((block * k + c) * w + j)]);
        vectors_(c, j) = static_cast<float>(sum / rows);
      }
    }
    repair(empty);
    return std::ssize(empty);
  }

 private:
  static constexpr index_t most_blocks = 64;

  /// visit(lane, block, first row, rows), lanes side by side.
  template <class Visit>
  void for_each_block(Visit&& visit) {
    std::atomic<index_t> next{0};
    for_each_lane(backend_, [&](B& lane, index_t) {
      for (index_t block = next++; block < blocks_; block = next++) {
        index_t const first = block * block_;
        visit(lane, block, first, std::min(rows_.rows(), first + block_) - first);
      }
    });
  }

  /// distances_ to the nearest of the first k + 1 vectors; their sum.
  double come_closer(index_t k) {
    std::vector<double> sums(static_cast<std::size_t>(blocks_));
    for_each_block([&](B& lane, index_t block, index_t first, index_t count) {
      scratch_scope<B> const scope(lane.scratch());
      auto const distances = lane.scratch().template take<float>(count, 1);
      squared_distances<float>(lane, rows_.row_block(first, count), in_matrix<B, float>(vectors_.row_block(k, 1)), distances);
      for (index_t i = 0; i < count; ++i) {
        auto& nearest = distances_[static_cast<std::size_t>(first + i)];
        nearest = std::min(nearest, distances(i, 0));
        sums[static_cast<std::size_t>(block)] += static_cast<double>(nearest);
      }
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }

  /// The row at which the running sum of distances passes a place.
  index_t weighed_row(double place) const {
    index_t last = 0;
    for (index_t i = 0; i < rows_.rows(); ++i) {
      if (distances_[static_cast<std::size_t>(i)] > 0) last = i;
      place -= static_cast<double>(distances_[static_cast<std::size_t>(i)]);
      if (place < 0) return i;
    }
    return last;  // rounding
  }

  /// Vectors without rows go onto the rows that are furthest from theirs, the furthest first.
  void repair(std::vector<index_t> const& empty) {
    if (empty.empty()) return;
    std::vector<index_t> order(distances_.size());
    std::iota(order.begin(), order.end(), index_t{0});
    auto const count = static_cast<index_t>(std::min(empty.size(), order.size()));
    std::ranges::partial_sort(order, order.begin() + count, [&](index_t a, index_t b) {
      return std::pair(-distances_[static_cast<std::size_t>(a)], a) < std::pair(-distances_[static_cast<std::size_t>(b)], b);
    });
    for (index_t i = 0; i < count; ++i) copy(rows_.row(order[static_cast<std::size_t>(i)]), vectors_.row(empty[static_cast<std::size_t>(i)]));
  }

  B& backend_;
  in_matrix<B, float> rows_;
  out_matrix<B, float> vectors_;
  index_t block_, blocks_;
  std::vector<code_t> codes_;     // (n)
  std::vector<float> distances_;  // (n)
};

}  // namespace detail

/// vectors (K, width) that stand for rows (n, width). Throws error when there are fewer rows than vectors; rows may repeat, and then so may
/// vectors.
template <Backend B>
kmeans_result kmeans(B& backend, in_matrix<B, float> rows, kmeans_options const& options, out_matrix<B, float> vectors) {
  expects(rows.columns() == vectors.columns(), "k-means: rows of width ", rows.columns(), " for vectors of width ", vectors.columns());
  expects(rows.rows() >= vectors.rows(), "k-means: ", rows.rows(), " rows for ", vectors.rows(), " codes, expected at least as many rows");
  expects(options.iterations >= 1, "k-means: ", options.iterations, " iterations, expected at least 1");
  detail::kmeans_run<B> run(backend, rows, vectors);
  run.seed(random_stream(options.seed, 0x6b6d65616e73u));
  kmeans_result result{.error = run.assign()};
  while (result.iterations < options.iterations) {
    ++result.iterations;
    result.repaired += run.move();
    double const before = std::exchange(result.error, run.assign());
    if (before - result.error < options.tolerance * before) break;
  }
  return result;
}

}  // namespace mql4grec
