#pragma once
// A quantizer without a neural network: k-means on the features, k-means on the residuals, and so on, with one codebook
// per level. Its latents are the features themselves, centred and optionally rotated.
#include <cmath>
#include <vector>

#include "mql4grec/backend/contract/matmul.hpp"
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/features.hpp"
#include "mql4grec/quantize/codebook/kmeans.hpp"
#include "mql4grec/quantize/codebook/residual_quantizer.hpp"

namespace mql4grec::quantize {

/// Options of residual k-means.
struct residual_kmeans_options {
  std::vector<index_t> codes{256, 256, 256, 256};  ///< K of each level
  kmeans_options clustering{};                     ///< of each level; its seed also determines the sample
  index_t sample_rows = 65'536;                    ///< maximum number of rows to train on
  /// Maximum number of rounds that rotate the features towards their quantized values (the orthogonal Procrustes
  /// problem, as in OPQ: Ge et al. 2013) and then refine the codebooks. Rounds end with the first one that doesn't
  /// lower the error; that round is discarded. Since the vectors of a codebook are as wide as the rows, they can adapt
  /// without a rotation: it lowers the error by only about 1 %, as do additional iterations.
  index_t rotation_rounds = 0;

  bool operator==(residual_kmeans_options const&) const = default;
};

/// A trained model: codebooks for rows z = (x − mean) · rotation.
template <Backend B>
struct residual_kmeans {
  codebook_set<B, float> books;                      ///< (levels) of (K, width)
  buffer<float, typename B::memory_space> mean;      ///< (width): of the training rows
  buffer<float, typename B::memory_space> rotation;  ///< (width, width), orthogonal; empty: none
  double error = 0;  ///< mean of (ẑ − z)² over all entries of the training rows; invariant under rotation

  /// The width of the features.
  index_t input_width() const { return books.width(); }
  /// The width of the latents, which equals that of the features.
  index_t latent_width() const { return books.width(); }
  /// One view per level; valid as long as the model.
  std::vector<codebook_view<B, float>> codebooks() const { return books.views(); }
  /// Whether the model has a rotation.
  bool rotated() const { return rotation.size() > 0; }
  /// The rotation (width, width), or an empty view.
  in_matrix<B, float> rotation_matrix() const {
    return {rotation.view_all().data, latent_width(), rotated() ? latent_width() : 0};
  }
};

/// The operations that residual k-means requires from a backend, besides those of k-means and residual quantization.
template <class B>
concept ResidualKmeansOps = KmeansOps<B> && ResidualOps<B, float> && MemoryOps<B, float> &&
    requires(B& b, in_matrix<B, float> x, in_vector<B, float> v, out_matrix<B, float> y) {
  add_to_rows<float>(b, -1, v, x, y);
  add_scaled<float>(b, -1, x, y);
  matmul<float>(b, x, x, y, product{});
  procrustes_rotation<float>(b, x, y);
  { sum_of_squares<float>(b, v) } -> std::convertible_to<double>;
  { squared_error_forward<float>(b, x, x) } -> std::convertible_to<double>;
};

/// Computes latents z (n, width) of features x (n, width). z must not overlap x. Throws error when x has another width
/// than the model.
template <Backend B>
void encode(B& worker, residual_kmeans<B> const& model, in_matrix<B, float> x, out_matrix<B, float> z) {
  expects(x.columns() == model.input_width(), "residual k-means: rows of width ", x.columns(),
          " for codebooks of width ", model.input_width());
  scratch_scope<B> const scope(worker.scratch());
  auto const centred = model.rotated() ? take<float>(worker, x.rows(), x.columns()) : z;
  add_to_rows<float>(worker, -1, model.mean.view_all(), x, centred);
  if (model.rotated()) matmul<float>(worker, in_matrix<B, float>(centred), model.rotation_matrix(), z, product{});
}

/// Returns Σ (x̂ − x)², where x̂ = z · rotationᵀ + mean is decoded from z (n, width), which are usually quantized
/// latents.
template <Backend B>
[[nodiscard]] double reconstruction_error(B& worker, residual_kmeans<B> const& model, in_matrix<B, float> z,
                                          in_matrix<B, float> x) {
  scratch_scope<B> const scope(worker.scratch());
  auto const decoded = take<float>(worker, x.rows(), x.columns());
  if (model.rotated()) matmul<float>(worker, z, model.rotation_matrix(), decoded, {.transpose_b = true});
  add_to_rows<float>(worker, 1, model.mean.view_all(), model.rotated() ? in_matrix<B, float>(decoded) : z, decoded);
  return static_cast<double>(squared_error_forward<float>(worker, in_matrix<B, float>(decoded), x));
}

namespace detail {

/// One training run: the centred training rows, and the residuals of the codebooks and rotations that are tried on
/// them.
template <Backend B>
class residual_kmeans_run {
  static_assert(ResidualKmeansOps<B>,
                "this backend has no procrustes_rotation or add_to_rows for float; add them in backend/<name>/");
  using memory = buffer<float, typename B::memory_space>;

 public:
  template <embed::FeatureSource F>
  residual_kmeans_run(B& backend, F const& features, residual_kmeans_options const& options,
                      train::host_communicator const& ranks)
      : backend_(backend),
        options_(options),
        ranks_(ranks),
        n_(std::min(features.rows(), options.sample_rows)),
        w_(features.width()),
        x_(backend.template allocate<float>(n_ * w_)),
        rest_(backend.template allocate<float>(n_ * w_)),
        mean_(backend.template allocate<float>(w_)),
        codes_(backend.template allocate<code_t>(n_)) {
    fill(x_.view_all(), [&](host_vector_view<float> rows) { read_sample(features, {rows.data, n_, w_}); });
    add_to_rows<float>(backend_, -1, std::as_const(mean_).view_all(), in(x_), matrix(x_));
    if (options.rotation_rounds > 0) {
      z_ = backend.template allocate<float>(n_ * w_);
      copy<float>(backend_, std::as_const(x_).view_all(), z_.view_all());
    }
  }

  residual_kmeans<B> learn() {
    residual_kmeans<B> best{.books = codebook_set<B, float>(backend_, options_.codes, w_), .mean = {}, .rotation = {}};
    best.error = fit(best.books, [&](auto const& rows, kmeans_options const& clustering, auto const& v) {
      return kmeans(backend_, rows, clustering, v, ranks_);
    });
    for (index_t round = 0; round < options_.rotation_rounds; ++round) {
      residual_kmeans<B> next{
          .books = codebook_set<B, float>(backend_, options_.codes, w_), .mean = {}, .rotation = best_rotation()};
      for (index_t l = 0; l < next.books.levels(); ++l)
        copy<float>(backend_, std::as_const(best.books).vectors(l).flat(), next.books.vectors(l).flat());
      rotate(next.rotation_matrix());
      next.error = fit(next.books, [&](auto const& rows, kmeans_options const& clustering, auto const& v) {
        return refine_kmeans(backend_, rows, clustering, v, ranks_);
      });
      if (next.error >= best.error) break;
      best = std::move(next);
    }
    best.mean = std::move(mean_);
    return best;
  }

 private:
  out_matrix<B, float> matrix(memory& b) const { return {b.view_all().data, n_, w_}; }
  in_matrix<B, float> in(memory const& b) const { return {b.view_all().data, n_, w_}; }

  /// Reads the training rows and computes their mean, on the host. Sums are in double.
  template <embed::FeatureSource F>
  void read_sample(F const& features, host_matrix_view<float> x) {
    auto sample = epoch_order(features.rows(), options_.clustering.seed, 0);
    sample.resize(to_size(n_));
    std::ranges::sort(sample);  // the order of the rows in a file
    features.gather(sample, x);
    std::vector<double> sums(to_size(w_));
    for (index_t i = 0; i < n_; ++i) {
      for (float const entry : as_span(x.row(i)))
        expects(std::isfinite(entry), "residual k-means: row ", sample[to_size(i)],
                " holds a number that isn't finite");
      for (index_t j = 0; j < w_; ++j) sums[to_size(j)] += static_cast<double>(x(i, j));
    }
    fill(mean_.view_all(), [&](host_vector_view<float> mean) {
      for (index_t j = 0; j < w_; ++j) mean(j) = static_cast<float>(sums[to_size(j)] / static_cast<double>(n_));
    });
  }

  /// Calls cluster(rows, options, vectors) for each level on the residuals of the levels before, starting with z.
  /// Returns the mean squared error over all entries.
  template <class Cluster>
  double fit(codebook_set<B, float>& codebooks, Cluster&& cluster) {
    copy<float>(backend_, std::as_const(z_.size() > 0 ? z_ : x_).view_all(), rest_.view_all());
    for (index_t l = 0; l < codebooks.levels(); ++l) {
      auto clustering = options_.clustering;
      clustering.seed += static_cast<std::uint64_t>(l);
      cluster(in(rest_), clustering, codebooks.vectors(l));
      contract::detail::for_each_row_block(
          backend_, n_, contract::detail::rows_at_once<B>, [&](B& worker, index_t, index_t first, index_t count) {
            quantize_level<float>(worker, codebook_view<B, float>(std::as_const(codebooks).vectors(l)),
                                  nearest_assignment{}, matrix(rest_).row_block(first, count),
                                  codes_.view_all().part(first, count));
          });
    }
    return sum_of_squares<float>(backend_, std::as_const(rest_).view_all()) / static_cast<double>(n_ * w_);
  }

  /// The rotation (width, width) of x towards the quantized z.
  memory best_rotation() {
    auto product = backend_.template allocate<float>(w_ * w_), rotation = backend_.template allocate<float>(w_ * w_);
    out_matrix<B, float> const cross(product.view_all().data, w_, w_);
    add_scaled<float>(backend_, -1, in(rest_), matrix(z_));
    matmul<float>(backend_, in(x_), in(z_), cross, {.transpose_a = true});
    procrustes_rotation<float>(backend_, in_matrix<B, float>(cross),
                               out_matrix<B, float>(rotation.view_all().data, w_, w_));
    return rotation;
  }

  void rotate(in_matrix<B, float> rotation) {
    contract::detail::for_each_row_block(backend_, n_, contract::detail::rows_at_once<B>,
                                         [&](B& worker, index_t, index_t first, index_t count) {
                                           matmul<float>(worker, in(x_).row_block(first, count), rotation,
                                                         matrix(z_).row_block(first, count), product{});
                                         });
  }

  B& backend_;
  residual_kmeans_options options_;
  train::host_communicator const& ranks_;
  index_t n_, w_;
  memory x_, z_, rest_;                             // (n, w): centred rows; rotated rows, if any; residuals
  memory mean_;                                     // (w)
  buffer<code_t, typename B::memory_space> codes_;  // (n)
};

}  // namespace detail

/// Trains on a sample of the rows that depends only on the seed. Any number of workers gives the same bits. Throws
/// error when there are fewer rows than codes of a level, when a row of the sample isn't finite, and for options out of
/// range. Several ranks call this with the same features and share the clustering; all get the bits of a single one.
template <Backend B, embed::FeatureSource F>
[[nodiscard]] residual_kmeans<B> fit_residual_kmeans(B& backend, F const& features,
                                                     residual_kmeans_options const& options = {},
                                                     train::host_communicator const& ranks = {}) {
  expects(options.sample_rows >= 1, "residual k-means: a sample of ", options.sample_rows,
          " rows, expected at least 1");
  expects(options.rotation_rounds >= 0, "residual k-means: ", options.rotation_rounds,
          " rounds of rotation, expected at least 0");
  expects(features.rows() >= 1 && features.width() >= 1, "residual k-means: features of ", features.rows(), " × ",
          features.width());
  return detail::residual_kmeans_run<B>(backend, features, options, ranks).learn();
}

}  // namespace mql4grec::quantize
