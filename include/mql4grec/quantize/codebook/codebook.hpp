#pragma once
// Vectors that stand for the rows nearest to them. A residual quantizer takes one codebook a level, each of its own
// size.
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// What a residual quantizer asks of a codebook: its vectors, (K, width). How they came about is its own affair.
template <class C, class B, class T>
concept Codebook = Backend<B> && requires(C const& c) {
  { c.vectors() } -> std::convertible_to<in_matrix<B, T>>;
};

/// A codebook in memory that somebody else owns: a window into a model's parameters.
template <Backend B, class T>
class codebook_view {
 public:
  codebook_view() = default;
  explicit codebook_view(in_matrix<B, T> vectors) : vectors_(vectors) {}
  in_matrix<B, T> vectors() const { return vectors_; }

 private:
  in_matrix<B, T> vectors_;
};

/// Codebooks that own their vectors, one a level, in one buffer.
template <Backend B, class T>
class codebook_set {
 public:
  codebook_set() = default;
  /// All zero; sizes is K of each level, width that of the vectors.
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

  index_t levels() const { return std::ssize(sizes_); }
  index_t width() const { return width_; }
  index_t size(index_t level) const { return sizes_[static_cast<std::size_t>(level)]; }
  std::vector<index_t> const& sizes() const { return sizes_; }

  /// (K, width) of one level.
  out_matrix<B, T> vectors(index_t level) { return {vectors_.view_all().data + offset(level), size(level), width_}; }
  in_matrix<B, T> vectors(index_t level) const {
    return {vectors_.view_all().data + offset(level), size(level), width_};
  }
  /// One view a level, as quantizers take them.
  std::vector<codebook_view<B, T>> views() const {
    std::vector<codebook_view<B, T>> all;
    for (index_t l = 0; l < levels(); ++l) all.emplace_back(vectors(l));
    return all;
  }

 private:
  index_t offset(index_t level) const { return first_[static_cast<std::size_t>(level)] * width_; }

  std::vector<index_t> sizes_;  // (levels) K
  std::vector<index_t> first_;  // (levels) the level's first row
  index_t width_ = 0;
  buffer<T, typename B::memory_space> vectors_;  // (Σ K, width)
};

}  // namespace mql4grec
