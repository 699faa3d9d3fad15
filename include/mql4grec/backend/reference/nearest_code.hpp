#pragma once
// The nearest of K vectors, by sums of squared differences: no cancellation, and equal vectors have equal distances.
#include <cassert>
#include <concepts>
#include <limits>
#include <span>

#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::reference {

/// distances (n,K) = ‖x − v‖² for x (n,w) and vectors (K,w): the sum of squared differences, never below 0.
template <Field T>
void squared_distances(backend&, in_matrix<backend, T> x, in_matrix<backend, T> vectors,
                       out_matrix<backend, T> distances) {
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t k = 0; k < vectors.rows(); ++k) {
      T sum{};
      for (index_t j = 0; j < x.columns(); ++j) sum += (x(i, j) - vectors(k, j)) * (x(i, j) - vectors(k, j));
      distances(i, k) = sum;
    }
}

/// codes (n) = the position of the smallest entry in each row of distances (n,K), the first one among equals.
template <Real T>
void argmin_rows(backend&, in_matrix<backend, T> distances, out_vector<backend, code_t> codes) {
  for (index_t i = 0; i < distances.rows(); ++i) {
    index_t best = 0;
    for (index_t k = 1; k < distances.columns(); ++k)
      if (distances(i, k) < distances(i, best)) best = k;
    codes(i) = static_cast<code_t>(best);
  }
}

/// codes (n) = the nearest of vectors (K,w) to each row of x (n,w), the first one among equals; distances (n) = its
/// squared distance.
template <Real T>
void nearest_code(backend&, in_matrix<backend, T> x, in_matrix<backend, T> vectors, out_vector<backend, code_t> codes,
                  out_vector<backend, T> distances) {
  assert(vectors.rows() > 0);
  for (index_t i = 0; i < x.rows(); ++i) {
    distances(i) = std::numeric_limits<T>::infinity();
    codes(i) = code_t{0};
    for (index_t k = 0; k < vectors.rows(); ++k) {
      T sum{};
      for (index_t j = 0; j < x.columns(); ++j) sum += (x(i, j) - vectors(k, j)) * (x(i, j) - vectors(k, j));
      if (sum < distances(i)) {
        distances(i) = sum;
        codes(i) = static_cast<code_t>(k);
      }
    }
  }
}

/// x (n,w) −= the rows of vectors (K,w) given by codes (n): the residual for the next level.
template <Field T>
void subtract_codes(backend&, in_matrix<backend, T> vectors, in_vector<backend, code_t> codes,
                    out_matrix<backend, T> x) {
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) x(i, j) -= vectors(index(codes(i)), j);
}

/// codes (levels,n): for each level, the codebook vector (K,w) nearest to the residual of the levels before. `residual`
/// (n,w) becomes the residual after all levels. Also used by derived backends, with their own nearest_code and
/// subtract_codes.
template <Real T, std::derived_from<backend> B>
void nearest_codes(B& b, std::span<in_matrix<B, T> const> codebooks, out_matrix<B, T> residual,
                   out_matrix<B, code_t> codes) {
  scratch_scope<B> const scope(b.scratch());
  auto const distances = take<T>(b, residual.rows());
  for (index_t l = 0; l < codes.rows(); ++l) {
    auto const vectors = codebooks[to_size(l)];
    nearest_code<T>(b, residual, vectors, codes.row(l), distances);
    subtract_codes<T>(b, vectors, codes.row(l), residual);
  }
}

/// Adds each row of x (n,w) to the row of sums (K,w) given by its code, and 1 to the code's entry of counts (K). Used
/// by k-means and for a codebook's gradient.
template <Field T>
void add_to_codes(backend&, in_matrix<backend, T> x, in_vector<backend, code_t> codes, out_matrix<backend, T> sums,
                  out_vector<backend, T> counts) {
  for (index_t i = 0; i < x.rows(); ++i) {
    auto const k = index(codes(i));
    counts(k) += constant<T>(1);
    for (index_t j = 0; j < x.columns(); ++j) sums(k, j) += x(i, j);
  }
}

}  // namespace mql4grec::reference
