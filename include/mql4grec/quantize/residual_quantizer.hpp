#pragma once
// r₁ = z; c = the code of r at each level; the next r is what it leaves: r − v. The sum of the chosen vectors stands for z.
#include <span>

#include "mql4grec/quantize/assignment.hpp"
#include "mql4grec/quantize/codebook.hpp"

namespace mql4grec {

/// What walking down the levels asks of a backend.
template <class B, class T>
concept ResidualOps = Backend<B> && requires(B& b, in_matrix<B, T> v, in_vector<B, code_t> codes, out_matrix<B, T> x) {
  subtract_codes<T>(b, v, codes, x);
};

namespace detail {
template <class B, class T>
void check_codebook(in_matrix<B, T> x, in_matrix<B, T> vectors) {
  expects(x.columns() == vectors.columns(), "quantize: rows of width ", x.columns(), " for a codebook of width ", vectors.columns());
  expects(vectors.rows() >= 1, "quantize: a codebook without codes");
}
}  // namespace detail

/// One level: residual (n, width) chooses codes (n) and becomes what they leave.
template <class T, class B, Codebook<B, T> C, AssignmentPolicy<B, T> Policy>
void quantize_level(B& b, C const& codebook, Policy const& policy, out_matrix<B, T> residual, out_vector<B, code_t> codes) {
  static_assert(ResidualOps<B, T>, "this backend has no subtract_codes for this scalar; add it in backend/<name>/nearest_code.hpp");
  in_matrix<B, T> const vectors = codebook.vectors();
  detail::check_codebook<B, T>(residual, vectors);
  expects(codes.size() == residual.rows(), "quantize: ", residual.rows(), " rows but a place for ", codes.size(), " codes");
  policy.template assign<T>(b, residual, vectors, codes);
  subtract_codes<T>(b, vectors, codes, residual);
}

/// All levels with the nearest codes: codes (levels, n), a row a level; residual (n, width) comes as z and leaves as z − ẑ.
template <class T, class B, Codebook<B, T> C>
void quantize(B& b, std::span<C const> levels, out_matrix<B, T> residual, out_matrix<B, code_t> codes) {
  expects(codes.rows() == std::ssize(levels), "quantize: ", levels.size(), " levels but a place for ", codes.rows());
  for (std::size_t l = 0; l < levels.size(); ++l)
    quantize_level<T>(b, levels[l], nearest_assignment{}, residual, codes.row(static_cast<index_t>(l)));
}

}  // namespace mql4grec
