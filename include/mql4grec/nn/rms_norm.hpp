#pragma once
// RMSNorm, with checked shapes. dx is overwritten, dgain is accumulated.
#include "mql4grec/backend/contract/rms_norm.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operations that RMSNorm requires of a backend.
template <class B, class T>
concept RmsNormOps = Backend<B> && requires(B& b, rms_norm_inputs<typename B::memory_space, T> in, out_matrix<B, T> y,
                                            out_vector<B, T> v, rms_norm_gradients<typename B::memory_space, T> out) {
  rms_norm_forward<T>(b, in, 1e-6, y, v);
  rms_norm_backward<T>(b, in, v, y, out);
};

/// y = x / √(mean(x²) + eps) ∘ gain, row by row (Zhang & Sennrich, NeurIPS 2019; T5's layer norm). y is (rows, d).
/// inv_rms (rows) is written for the backward pass. Throws error when shapes disagree.
template <class T, class B>
void rms_norm(B& b, rms_norm_inputs<typename B::memory_space, T> const& in, double eps, out_matrix<B, T> y,
              out_vector<B, T> inv_rms) {
  auto const& [x, gain] = in;
  static_assert(RmsNormOps<B, T>,
                "this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp");
  expects(x.columns() == gain.size(), "rms_norm: x has ", x.columns(), " columns but gain has ", gain.size(),
          " entries");
  expects(inv_rms.size() == x.rows(), "rms_norm: x has ", x.rows(), " rows but inv_rms has ", inv_rms.size(),
          " entries");
  expects(y.rows() == x.rows() && y.columns() == x.columns(), "rms_norm: y is ", y.rows(), " × ", y.columns(),
          ", expected ", x.rows(), " × ", x.columns());
  rms_norm_forward<T>(b, in, eps, y, inv_rms);
}

/// Computes out.dx, overwritten, and adds the gain's gradient to out.dgain. Throws error when shapes disagree.
template <class T, class B>
void rms_norm_gradient(B& b, rms_norm_inputs<typename B::memory_space, T> const& in, in_vector<B, T> inv_rms,
                       in_matrix<B, T> dy, rms_norm_gradients<typename B::memory_space, T> const& out) {
  auto const& [x, gain] = in;
  static_assert(RmsNormOps<B, T>,
                "this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp");
  auto const like_x = [&x = in.x](in_matrix<B, T> m, char const* name) {
    expects(m.rows() == x.rows() && m.columns() == x.columns(), "rms_norm: ", name, " is ", m.rows(), " × ",
            m.columns(), ", expected ", x.rows(), " × ", x.columns());
  };
  like_x(dy, "dy");
  like_x(out.dx, "dx");
  expects(x.columns() == gain.size() && x.columns() == out.dgain.size(), "rms_norm: x has ", x.columns(),
          " columns but gain has ", gain.size(), " entries and dgain ", out.dgain.size());
  expects(inv_rms.size() == x.rows(), "rms_norm: x has ", x.rows(), " rows but inv_rms has ", inv_rms.size(),
          " entries");
  rms_norm_backward<T>(b, in, inv_rms, dy, out);
}

}  // namespace mql4grec::nn
