#pragma once
// r₁ = z; c = the code of r at each level; the next r is what it leaves: r − v. The sum of the chosen vectors stands
// for z.
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/assignment.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"

namespace mql4grec {

/// What walking down the levels asks of a backend.
template <class B, class T>
concept ResidualOps = Backend<B> && requires(B& b, in_matrix<B, T> v, in_vector<B, code_t> codes, out_matrix<B, T> x) {
  subtract_codes<T>(b, v, codes, x);
};

/// What all levels at once ask of a backend.
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

/// One level: residual (n, width) chooses codes (n) and becomes what they leave.
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

/// All levels with the nearest codes: codes (levels, n), a row a level; residual (n, width) comes as z and leaves as z
/// − ẑ.
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

}  // namespace mql4grec
