#pragma once
// RMSNorm, with checked shapes. dx is overwritten, dgain is accumulated.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operations that RMSNorm requires of a backend.
template <class B, class T>
concept RmsNormOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, in_vector<B, T> gain, out_matrix<B, T> y, out_vector<B, T> v) {
  rms_norm_forward<T>(b, x, gain, 1e-6, y, v);
  rms_norm_backward<T>(b, x, gain, gain, x, y, v);
};

/// y = x / √(mean(x²) + eps) ∘ gain, row by row (Zhang & Sennrich, NeurIPS 2019; T5's layer norm). x and y are (rows,
/// d), gain is (d). inv_rms (rows) is written for the backward pass. Throws error when shapes disagree.
template <class T, class B>
void rms_norm(B& b, in_matrix<B, T> x, in_vector<B, T> gain, double eps, out_matrix<B, T> y, out_vector<B, T> inv_rms) {
  static_assert(RmsNormOps<B, T>,
                "this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp");
  expects(x.columns() == gain.size(), "rms_norm: x has ", x.columns(), " columns but gain has ", gain.size(),
          " entries");
  expects(inv_rms.size() == x.rows(), "rms_norm: x has ", x.rows(), " rows but inv_rms has ", inv_rms.size(),
          " entries");
  expects(y.rows() == x.rows() && y.columns() == x.columns(), "rms_norm: y is ", y.rows(), " × ", y.columns(),
          ", expected ", x.rows(), " × ", x.columns());
  rms_norm_forward<T>(b, x, gain, eps, y, inv_rms);
}

/// Computes dx (rows, d), overwritten, and adds the gain's gradient to dgain (d). Throws error when shapes disagree.
template <class T, class B>
void rms_norm_gradient(B& b, in_matrix<B, T> x, in_vector<B, T> gain, in_vector<B, T> inv_rms, in_matrix<B, T> dy,
                       out_matrix<B, T> dx, out_vector<B, T> dgain) {
  static_assert(RmsNormOps<B, T>,
                "this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp");
  auto const like_x = [&](in_matrix<B, T> m, char const* name) {
    expects(m.rows() == x.rows() && m.columns() == x.columns(), "rms_norm: ", name, " is ", m.rows(), " × ",
            m.columns(), ", expected ", x.rows(), " × ", x.columns());
  };
  like_x(dy, "dy");
  like_x(dx, "dx");
  expects(x.columns() == gain.size() && x.columns() == dgain.size(), "rms_norm: x has ", x.columns(),
          " columns but gain has ", gain.size(), " entries and dgain ", dgain.size());
  expects(inv_rms.size() == x.rows(), "rms_norm: x has ", x.rows(), " rows but inv_rms has ", inv_rms.size(),
          " entries");
  rms_norm_backward<T>(b, x, gain, inv_rms, dy, dx, dgain);
}

}  // namespace mql4grec::nn
