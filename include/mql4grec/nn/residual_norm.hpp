#pragma once
// The end of one residual sublayer and the beginning of the next: stream = from + dropout(the sublayer's result),
// followed by the stream's norm. Both are limited by memory bandwidth, so a backend may combine them in one pass; for
// others they are the operations of dropout.hpp and rms_norm.hpp in sequence.
#include "mql4grec/nn/dropout.hpp"
#include "mql4grec/nn/rms_norm.hpp"

namespace mql4grec::nn {

/// Optional, besides DropoutOps and RmsNormOps: a residual connection and the norm after it as one operation.
template <class B, class T>
concept ResidualNormOps = Backend<B> &&
    requires(B& b, dropout site, in_matrix<B, T> x, in_vector<B, T> gain, out_matrix<B, T> y, out_vector<B, T> v) {
  residual_norm_forward<T>(b, site, x, gain, 1e-6, y, y, v);
  residual_norm_backward<T>(b, site, x, gain, gain, y, y, v);
};

namespace detail {

template <class B, class T>
void expect_like_stream(in_matrix<B, T> stream, in_matrix<B, T> m, char const* name) {
  expects(m.rows() == stream.rows() && m.columns() == stream.columns(), "residual_norm: ", name, " is ", m.rows(),
          " × ", m.columns(), ", expected ", stream.rows(), " × ", stream.columns());
}

template <class B, class T>
void check_residual_norm(in_matrix<B, T> stream, in_vector<B, T> gain, in_vector<B, T> inv_rms) {
  static_assert(DropoutOps<B, T>, "this backend has no dropout for this scalar; add it in backend/<name>/dropout.hpp");
  static_assert(RmsNormOps<B, T>,
                "this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp");
  expects(stream.columns() == gain.size(), "residual_norm: the stream has ", stream.columns(), " columns but gain has ",
          gain.size(), " entries");
  expects(inv_rms.size() == stream.rows(), "residual_norm: the stream has ", stream.rows(), " rows but inv_rms has ",
          inv_rms.size(), " entries");
}

}  // namespace detail

/// stream = from + dropout(stream), then normed = rms_norm(stream). from, stream and normed are (rows, d), gain is (d).
/// inv_rms (rows) is written for the backward pass. Throws error when shapes disagree.
template <class T, class B>
void residual_norm(B& b, dropout const& site, in_matrix<B, T> from, in_vector<B, T> gain, double eps,
                   out_matrix<B, T> stream, out_matrix<B, T> normed, out_vector<B, T> inv_rms) {
  detail::check_residual_norm<B, T>(stream, gain, inv_rms);
  detail::expect_like_stream<B, T>(stream, from, "from");
  detail::expect_like_stream<B, T>(stream, normed, "normed");
  if constexpr (ResidualNormOps<B, T>) {
    residual_norm_forward<T>(b, site, from, gain, eps, stream, normed, inv_rms);
  } else {
    dropout_add<T>(b, site, from, stream);
    rms_norm_forward<T>(b, stream, gain, eps, normed, inv_rms);
  }
}

/// The backward pass. On entry, dy (rows, d) is the gradient of normed, and dstream (rows, d) the gradient of the
/// stream from its other consumers. Adds the gradient through the norm to dstream and dgain (d), then sets dy =
/// dropout(dstream), the gradient of the sublayer's result. Throws error when shapes disagree.
template <class T, class B>
void residual_norm_gradient(B& b, dropout const& site, in_matrix<B, T> stream, in_vector<B, T> gain,
                            in_vector<B, T> inv_rms, out_matrix<B, T> dy, out_matrix<B, T> dstream,
                            out_vector<B, T> dgain) {
  detail::check_residual_norm<B, T>(stream, gain, inv_rms);
  detail::expect_like_stream<B, T>(stream, dy, "dy");
  detail::expect_like_stream<B, T>(stream, dstream, "dstream");
  expects(dgain.size() == gain.size(), "residual_norm: gain has ", gain.size(), " entries but dgain ", dgain.size());
  if constexpr (ResidualNormOps<B, T>) {
    residual_norm_backward<T>(b, site, stream, gain, inv_rms, dy, dstream, dgain);
  } else {
    scratch_scope<B> const scope(b.scratch());
    out_matrix<B, T> const dx = take<T>(b, stream.rows(), stream.columns());
    rms_norm_backward<T>(b, stream, gain, inv_rms, dy, dx, dgain);
    accumulate<T>(b, dx.flat(), dstream.flat());
    dropout_copy<T>(b, site, dstream, dy);
  }
}

}  // namespace mql4grec::nn
