#pragma once
// Codebooks. A codebook is a matrix of vectors (K, width); a row is quantized to the index of its nearest vector. A
// residual quantizer uses one codebook per level, and the levels may have different sizes.
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::quantize {

/// The requirements of a residual quantizer on a codebook: its vectors (K, width).
template <class C, class B, class T>
concept Codebook = Backend<B> && requires(C const& c) {
  { c.vectors() } -> std::convertible_to<in_matrix<B, T>>;
};

/// A codebook whose vectors belong to another object, such as a model's parameters. That object must outlive the view.
template <Backend B, class T>
class codebook_view {
 public:
  codebook_view() = default;
  /// A view of vectors (K, width).
  explicit codebook_view(in_matrix<B, T> vectors) : vectors_(vectors) {}
  /// The vectors (K, width).
  in_matrix<B, T> vectors() const { return vectors_; }

 private:
  in_matrix<B, T> vectors_;
};

/// Codebooks that own their vectors: one per level, all in one buffer.
template <Backend B, class T>
class codebook_set {
 public:
  codebook_set() = default;
  /// All vectors are zero. `sizes` is K of each level, `width` is the length of the vectors. Throws error when there
  /// are no levels, or a size or the width is 0.
  codebook_set(B& b, std::vector<index_t> sizes, index_t width) : sizes_(std::move(sizes)), width_(width) {
    expects(!sizes_.empty() && width >= 1, "codebooks: ", sizes_.size(), " levels of width ", width,
            ", expected at least 1 of each");
    index_t rows = 0;
    for (auto const k : sizes_) {
      expects(k >= 1, "codebooks: a level of ", k, " codes, expected at least 1");
      first_.push_back(rows);
      rows += k;
    }
    vectors_ = b.template allocate<T>(rows * width);
  }

  /// The number of codebooks.
  index_t levels() const { return std::ssize(sizes_); }
  /// The width of the vectors of all levels.
  index_t width() const { return width_; }
  /// K of a level.
  index_t size(index_t level) const { return sizes_[to_size(level)]; }
  /// K of all levels.
  std::vector<index_t> const& sizes() const { return sizes_; }

  /// The vectors (K, width) of one level.
  out_matrix<B, T> vectors(index_t level) { return {vectors_.view_all().data + offset(level), size(level), width_}; }
  /// The vectors (K, width) of one level, const.
  in_matrix<B, T> vectors(index_t level) const {
    return {vectors_.view_all().data + offset(level), size(level), width_};
  }
  /// One view per level, the form in which quantizers accept codebooks. Valid as long as this object.
  std::vector<codebook_view<B, T>> views() const {
    std::vector<codebook_view<B, T>> all;
    for (index_t l = 0; l < levels(); ++l) all.emplace_back(vectors(l));
    return all;
  }

 private:
  index_t offset(index_t level) const { return first_[to_size(level)] * width_; }

  std::vector<index_t> sizes_;  // (levels): K
  std::vector<index_t> first_;  // (levels): first row of each level in vectors_
  index_t width_ = 0;
  buffer<T, typename B::memory_space> vectors_;  // (Σ K, width)
};

}  // namespace mql4grec::quantize
