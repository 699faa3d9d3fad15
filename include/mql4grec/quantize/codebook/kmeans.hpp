#pragma once
// k-means++ seeding (Arthur & Vassilvitskii, SODA 2007), followed by Lloyd's iterations. Rows are processed in blocks
// whose size doesn't depend on the number of workers, and the sums of the blocks are added in order. So any number of
// workers gives the same bits. Several ranks, which have the same rows, share the blocks out and exchange their sums.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/quantize/codebook/assignment.hpp"
#include "mql4grec/train/exchange.hpp"

namespace mql4grec::quantize {

/// Options of k-means.
struct kmeans_options {
  index_t iterations = 20;  ///< maximum number of Lloyd's iterations, at least 1
  double tolerance = 1e-4;  ///< stops when the relative decrease of the error is less than this
  std::uint64_t seed = 42;  ///< of the initial vectors

  bool operator==(kmeans_options const&) const = default;
};

/// The outcome of k-means.
struct kmeans_result {
  double error = 0;        ///< mean squared distance of the rows to their vectors
  index_t iterations = 0;  ///< number of iterations run
  index_t repaired = 0;    ///< how often an empty vector was moved to the row with the highest error

  bool operator==(kmeans_result const&) const = default;
};

/// The operations that k-means requires from a backend.
template <class B>
concept KmeansOps = NearestCodeOps<B, float> &&
    requires(B& b, in_matrix<B, float> x, out_matrix<B, float> y, in_vector<B, code_t> codes, out_vector<B, float> v,
             in_vector<B, index_t> which, out_vector<B, double> total) {
  gather_rows<float>(b, x, which, y);
  squared_distances<float>(b, x, x, y);
  add_to_codes<float>(b, x, codes, y, v);
  minimum_in_place<float>(b, v, v, total);
  sum_into<float>(b, v, total);
  { sum_of_squares<float>(b, v) } -> std::same_as<double>;
};

namespace detail {

/// One k-means run: the assignments of rows (n, width) to vectors (K, width), and the distances.
template <Backend B>
class kmeans_run {
  static_assert(KmeansOps<B>,
                "this backend lacks gather_rows, add_to_codes, minimum_in_place or sum_into for float; add it in "
                "backend/<name>/{gather_rows,nearest_code,adamw}.hpp");
  using space = typename B::memory_space;

 public:
  kmeans_run(B& backend, in_matrix<B, float> rows, out_matrix<B, float> vectors, train::host_communicator const& ranks)
      : backend_(backend),
        ranks_(ranks),
        rows_(rows),
        vectors_(vectors),
        block_(std::max<index_t>(1024, (rows.rows() + most_blocks - 1) / most_blocks)),
        blocks_((rows.rows() + block_ - 1) / block_),
        codes_(backend.template allocate<code_t>(rows.rows())),
        distances_(backend.template allocate<float>(rows.rows())),
        sums_(backend.template allocate<double>(blocks_)) {}

  /// Throws error for the first row that isn't finite.
  void check_rows() {
    std::vector<double> invalid(to_size(blocks_), 0);
    for_each_block([&](B& worker, index_t block, index_t first, index_t count) {
      invalid[to_size(block)] = are_finite(worker, rows_.row_block(first, count)) ? 0 : 1;
    });
    ranks_.all_reduce(std::span(invalid));
    auto const block = std::ranges::find(invalid, 1) - invalid.begin();
    for (index_t i = block * block_; block < blocks_ && i < std::min(rows_.rows(), (block + 1) * block_); ++i)
      expects(are_finite(backend_, rows_.row_block(i, 1)), "k-means: row ", i, " holds a number that isn't finite");
  }

  /// Chooses the initial vectors among the rows by k-means++.
  void seed(random_stream random) {
    fill<float>(backend_, distances_.view_all(), std::numeric_limits<float>::infinity());
    index_t chosen = random.below(rows_.rows());
    for (index_t k = 0; k < vectors_.rows(); ++k) {
      copy<float>(backend_, rows_.row(chosen), vectors_.row(k));
      if (k + 1 == vectors_.rows()) return;
      double const all = update_distances(k);
      // When the sum is 0, all rows are equal to vectors already.
      chosen = all > 0 ? weighted_row(random.uniform() * all) : random.below(rows_.rows());
    }
  }

  /// Assigns every row to its nearest vector; returns the mean squared distance.
  double assign() {
    for_each_block([&](B& worker, index_t block, index_t first, index_t count) {
      auto const distances = distances_.view_all().part(first, count);
      nearest_code<float>(worker, rows_.row_block(first, count), vectors_, codes_.view_all().part(first, count),
                          distances);
      sum_into<float>(worker, distances, sum_of(block));
    });
    return sum_of_blocks() / static_cast<double>(rows_.rows());
  }

  /// Moves every vector to the mean of its rows. A vector without rows is moved by repair(). Returns the number of
  /// repaired vectors.
  index_t move() {
    index_t const k = vectors_.rows(), w = vectors_.columns();
    auto sums_of = backend_.template allocate<float>(blocks_ * k * w),
         counts_of = backend_.template allocate<float>(blocks_ * k);
    for_each_block([&](B& worker, index_t block, index_t first, index_t count) {
      add_to_codes<float>(worker, rows_.row_block(first, count), codes_.view_all().part(first, count),
                          out_matrix<B, float>(sums_of.view_all().data + block * k * w, k, w),
                          counts_of.view_all().part(block * k, k));
    });
    gather(sums_of.view_all(), [&](index_t block) { return block * k * w; });
    gather(counts_of.view_all(), [&](index_t block) { return block * k; });
    host_copy<float, space> const all_sums(sums_of.view_all()), all_counts(counts_of.view_all());
    auto const sums = all_sums.view_all(), counts = all_counts.view_all();
    buffer<float, host_space> means(k * w);
    std::vector<index_t> empty;
    index_t set = 0;  // the vectors before this one have been set, or are empty
    for (index_t c = 0; c < k; ++c) {
      double rows = 0;
      for (index_t block = 0; block < blocks_; ++block) rows += static_cast<double>(counts(block * k + c));
      if (rows == 0) {
        set_vectors(set, c, means.view_all());
        set = c + 1;
        empty.push_back(c);
        continue;
      }
      for (index_t j = 0; j < w; ++j) {
        double sum = 0;
        for (index_t block = 0; block < blocks_; ++block) sum += static_cast<double>(sums((block * k + c) * w + j));
        means.view_all()(c * w + j) = static_cast<float>(sum / rows);
      }
    }
    set_vectors(set, k, means.view_all());
    return repair(empty);
  }

 private:
  static constexpr index_t most_blocks = 64;

  row_range blocks_of(index_t rank) const { return worker_share{rank, ranks_.world_size()}.of(blocks_); }
  /// The number of rows before a block.
  index_t rows_before(index_t block) const { return std::min(rows_.rows(), block * block_); }

  /// Visits the blocks of this rank.
  template <class Visit>
  void for_each_block(Visit&& visit) {
    auto const mine = blocks_of(ranks_.rank());
    index_t const begin = rows_before(mine.first), rows = rows_before(mine.first + mine.count) - begin;
    contract::detail::for_each_row_block(backend_, rows, block_,
                                         [&](B& worker, index_t block, index_t first, index_t count) {
                                           visit(worker, mine.first + block, begin + first, count);
                                         });
  }
  /// Sets the vectors first … last − 1 to the rows of means (K · width).
  void set_vectors(index_t first, index_t last, host_vector_view<float const> means) {
    index_t const w = vectors_.columns();
    index_t const together = vectors_.contiguous() ? last - first : 1;  // vectors per copy
    for (; first < last; first += together)
      copy(means.part(first * w, together * w), vectors_.row_block(first, together).flat());
  }
  /// Gives every rank the values that all have computed, of which entries_before(block) precede those of a block.
  template <class EntriesBefore>
  void gather(out_vector<B, float> values, EntriesBefore const& entries_before) {
    if (ranks_.world_size() == 1) return;
    std::vector<index_t> offsets;
    for (index_t r = 0; r < ranks_.world_size(); ++r) offsets.push_back(entries_before(blocks_of(r).first));
    offsets.push_back(values.size());
    ranks_.all_gather(backend_, values, std::span<index_t const>(offsets));
  }
  void gather_distances() {
    gather(distances_.view_all(), [&](index_t block) { return rows_before(block); });
  }

  out_vector<B, double> sum_of(index_t block) { return sums_.view_all().part(block, 1); }
  /// The sum of what the ranks have written to sum_of() each of its blocks, which are added in order.
  double sum_of_blocks() {
    std::vector<double> sums(to_size(blocks_), 0);
    auto const mine = blocks_of(ranks_.rank());
    host_copy<double, space> const own(backend_, std::as_const(sums_).view_all().part(mine.first, mine.count));
    std::ranges::copy(as_span(own.view_all()), sums.begin() + mine.first);
    ranks_.all_reduce(std::span(sums));  // zeros of all ranks but one: exact
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }
  /// Updates distances_ to the distance to the nearest of the first k + 1 vectors; returns their sum.
  double update_distances(index_t k) {
    for_each_block([&](B& worker, index_t block, index_t first, index_t count) {
      scratch_scope<B> const scope(worker.scratch());
      auto const distances = take<float>(worker, count, 1);
      squared_distances<float>(worker, rows_.row_block(first, count), in_matrix<B, float>(vectors_.row_block(k, 1)),
                               distances);
      minimum_in_place<float>(worker, distances.flat(), distances_.view_all().part(first, count), sum_of(block));
    });
    return sum_of_blocks();
  }

  /// The row at which the running sum of distances exceeds `place`.
  index_t weighted_row(double place) {
    gather_distances();
    host_copy<float, space> const all(distances_.view_all());
    auto const distances = all.view_all();
    index_t last = 0;
    for (index_t i = 0; i < rows_.rows(); ++i) {
      if (distances(i) > 0) last = i;
      place -= static_cast<double>(distances(i));
      if (place < 0) return i;
    }
    return last;  // reached only through rounding
  }

  /// Whether all entries are finite. The sum of squares is computed in double, which can't overflow for float entries.
  static bool are_finite(B& worker, in_matrix<B, float> rows) {
    double squares = 0;
    if (rows.contiguous())
      squares = sum_of_squares<float>(worker, rows.flat());
    else
      for (index_t i = 0; i < rows.rows(); ++i) squares += sum_of_squares<float>(worker, rows.row(i));
    return std::isfinite(squares);
  }

  /// Moves vectors without rows to the rows with the largest distances, in descending order; of equal distances, the
  /// first row comes first. Rows at distance 0 are not used. Returns the number of moved vectors.
  index_t repair(std::vector<index_t> const& empty) {
    if (empty.empty()) return 0;
    gather_distances();
    host_copy<float, space> const all(distances_.view_all());
    auto const distances = all.view_all();
    std::vector<index_t> order(to_size(rows_.rows()));
    std::iota(order.begin(), order.end(), index_t{0});
    auto const count = static_cast<index_t>(std::min(empty.size(), order.size()));
    std::ranges::partial_sort(order, order.begin() + count, [&](index_t a, index_t b) {
      return std::pair(-distances(a), a) < std::pair(-distances(b), b);
    });
    index_t moved = 0;
    for (; moved < count && distances(order[to_size(moved)]) > 0; ++moved)
      copy<float>(backend_, rows_.row(order[to_size(moved)]), vectors_.row(empty[to_size(moved)]));
    return moved;
  }

  B& backend_;
  train::host_communicator const& ranks_;
  in_matrix<B, float> rows_;
  out_matrix<B, float> vectors_;
  index_t block_, blocks_;
  buffer<code_t, space> codes_;     // (n)
  buffer<float, space> distances_;  // (n)
  buffer<double, space> sums_;      // (blocks)
};

}  // namespace detail

namespace detail {

/// Seeds a codebook on a sample of at most 64 rows per vector. More rows hardly improve the seeds, but every seed
/// requires a pass over all of them. The sample depends only on the seed.
template <Backend B>
void seed_vectors(B& backend, in_matrix<B, float> rows, std::uint64_t seed, out_matrix<B, float> vectors,
                  train::host_communicator const& ranks) {
  constexpr index_t rows_per_vector = 64;
  random_stream const random(seed, 0x6b6d65616e73u);
  index_t const n = rows_per_vector * vectors.rows();
  if (rows.rows() <= n) return kmeans_run<B>(backend, rows, vectors, ranks).seed(random);
  auto memory = backend.template allocate<float>(n * rows.columns());
  out_matrix<B, float> const sample(memory.view_all().data, n, rows.columns());
  auto const order = epoch_order(rows.rows(), seed, 0);
  scratch_scope<B> const scope(backend.scratch());
  device_copy<index_t, B> const which(backend, view_of(std::span<index_t const>(order).first(to_size(n))));
  gather_rows<float>(backend, rows, which.view_all(), sample);
  kmeans_run<B>(backend, in_matrix<B, float>(sample), vectors, ranks).seed(random);
}

template <class B>
void check_kmeans(in_matrix<B, float> rows, kmeans_options const& options, in_matrix<B, float> vectors) {
  expects(rows.columns() == vectors.columns(), "k-means: rows of width ", rows.columns(), " for vectors of width ",
          vectors.columns());
  expects(vectors.rows() >= 1, "k-means: no codes, expected at least 1");
  expects(rows.rows() >= vectors.rows(), "k-means: ", rows.rows(), " rows for ", vectors.rows(),
          " codes, expected at least as many rows");
  expects(options.iterations >= 1, "k-means: ", options.iterations, " iterations, expected at least 1");
}

}  // namespace detail

/// Improves given vectors (K, width) for rows (n, width) by Lloyd's iterations, without seeding. Throws error when
/// there are fewer rows than vectors, when the widths differ, or when a row isn't finite. Several ranks call this with
/// the same rows and vectors, and all get the bits of a single one.
template <Backend B>
kmeans_result refine_kmeans(B& backend, in_matrix<B, float> rows, kmeans_options const& options,
                            out_matrix<B, float> vectors, train::host_communicator const& ranks = {}) {
  detail::check_kmeans<B>(rows, options, vectors);
  detail::kmeans_run<B> run(backend, rows, vectors, ranks);
  run.check_rows();
  kmeans_result result{.error = run.assign()};
  while (result.iterations < options.iterations) {
    ++result.iterations;
    result.repaired += run.move();
    double const before = std::exchange(result.error, run.assign());
    if (before - result.error < options.tolerance * before) break;
  }
  return result;
}

/// Computes vectors (K, width) for rows (n, width). Throws error when there are fewer rows than vectors, when the
/// widths differ, or when a row isn't finite. Rows may be equal; then vectors may be equal as well. Several ranks call
/// this with the same rows, and all get the bits of a single one.
template <Backend B>
kmeans_result kmeans(B& backend, in_matrix<B, float> rows, kmeans_options const& options, out_matrix<B, float> vectors,
                     train::host_communicator const& ranks = {}) {
  detail::check_kmeans<B>(rows, options, vectors);
  detail::seed_vectors(backend, rows, options.seed, vectors, ranks);
  return refine_kmeans(backend, rows, options, vectors, ranks);
}

}  // namespace mql4grec::quantize
