#pragma once
// Residual quantization: r₁ = z; at each level, c is the code of r with the vector v, and the next r is r − v. The
// quantized ẑ is the sum of the chosen vectors. Functions overwrite their residual argument.
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/assignment.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"

namespace mql4grec::quantize {

/// The operations that quantizing one level requires from a backend.
template <class B, class T>
concept ResidualOps = Backend<B> && requires(B& b, in_matrix<B, T> v, in_vector<B, code_t> codes, out_matrix<B, T> x) {
  subtract_codes<T>(b, v, codes, x);
};

/// The operations that quantizing all levels at once requires from a backend.
template <class B, class T>
concept NearestCodesOps = Backend<B> &&
    requires(B& b, std::span<in_matrix<B, T> const> codebooks, out_matrix<B, T> x, out_matrix<B, code_t> codes) {
  nearest_codes<T>(b, codebooks, x, codes);
};

namespace detail {
template <class B, class T>
void check_codebook(in_matrix<B, T> x, in_matrix<B, T> vectors) {
  expects(x.columns() == vectors.columns(), "quantize: rows of width ", x.columns(), " for a codebook of width ",
          vectors.columns());
  expects(vectors.rows() >= 1, "quantize: a codebook without codes");
}
inline void check_places(index_t rows, index_t places) {
  expects(places == rows, "quantize: ", rows, " rows but a place for ", places, " codes");
}
}  // namespace detail

/// Quantizes one level: assigns codes (n) to residual (n, width), and subtracts the chosen vectors from it. Throws
/// error when the shapes don't match.
template <class T, class B, Codebook<B, T> C, AssignmentPolicy<B, T> Policy>
void quantize_level(B& b, C const& codebook, Policy const& policy, out_matrix<B, T> residual,
                    out_vector<B, code_t> codes) {
  static_assert(ResidualOps<B, T>,
                "this backend has no subtract_codes for this scalar; add it in backend/<name>/nearest_code.hpp");
  in_matrix<B, T> const vectors = codebook.vectors();
  detail::check_codebook<B, T>(residual, vectors);
  detail::check_places(residual.rows(), codes.size());
  policy.template assign<T>(b, residual, vectors, codes);
  subtract_codes<T>(b, vectors, codes, residual);
}

/// Quantizes all levels with nearest assignment: codes (levels, n), one row per level. On input, residual (n, width)
/// contains z; on output, z − ẑ. Throws error when the shapes don't match.
template <class T, class B, Codebook<B, T> C>
void quantize(B& b, std::span<C const> levels, out_matrix<B, T> residual, out_matrix<B, code_t> codes) {
  static_assert(NearestCodesOps<B, T>,
                "this backend has no nearest_codes for this scalar; add it in backend/<name>/nearest_code.hpp");
  expects(codes.rows() == std::ssize(levels), "quantize: ", levels.size(), " levels but a place for ", codes.rows());
  detail::check_places(residual.rows(), codes.columns());
  std::vector<in_matrix<B, T>> codebooks;
  for (auto const& level : levels) {
    codebooks.push_back(level.vectors());
    detail::check_codebook<B, T>(residual, codebooks.back());
  }
  nearest_codes<T>(b, codebooks, residual, codes);
}

}  // namespace mql4grec::quantize
