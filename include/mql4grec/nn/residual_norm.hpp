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
    requires(B& b, dropout site, residual_norm_tensors<typename B::memory_space, T> on,
             rms_norm_inputs<typename B::memory_space, T> in, in_vector<B, T> inv_rms,
             residual_norm_gradients<typename B::memory_space, T> out) {
  residual_norm_forward<T>(b, site, 1e-6, on);
  residual_norm_backward<T>(b, site, in, inv_rms, out);
};

/// What a backend without ResidualNormOps adds gradients with.
template <class B, class T>
concept AccumulateOps = Backend<B> && requires(B& b, in_vector<B, T> x, out_vector<B, T> y) {
  accumulate<T>(b, x, y);
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

/// stream = from + dropout(stream), then normed = rms_norm(stream). inv_rms is written for the backward pass. Throws
/// error when shapes disagree.
template <class T, class B>
void residual_norm(B& b, dropout const& site, double eps,
                   residual_norm_tensors<typename B::memory_space, T> const& on) {
  detail::check_residual_norm<B, T>(on.stream, on.gain, on.inv_rms);
  detail::expect_like_stream<B, T>(on.stream, on.from, "from");
  detail::expect_like_stream<B, T>(on.stream, on.normed, "normed");
  if constexpr (ResidualNormOps<B, T>) {
    residual_norm_forward<T>(b, site, eps, on);
  } else {
    dropout_add<T>(b, site, on.from, on.stream);
    rms_norm_forward<T>(b, {on.stream, on.gain}, eps, on.normed, on.inv_rms);
  }
}

/// The backward pass; in.x is the stream. On entry, out.dy is the gradient of normed, and out.dstream the gradient of
/// the stream from its other consumers. Adds the gradient through the norm to out.dstream and out.dgain, then sets
/// out.dy = dropout(out.dstream), the gradient of the sublayer's result. Throws error when shapes disagree.
template <class T, class B>
void residual_norm_gradient(B& b, dropout const& site, rms_norm_inputs<typename B::memory_space, T> const& in,
                            in_vector<B, T> inv_rms, residual_norm_gradients<typename B::memory_space, T> const& out) {
  detail::check_residual_norm<B, T>(in.x, in.gain, inv_rms);
  detail::expect_like_stream<B, T>(in.x, out.dy, "dy");
  detail::expect_like_stream<B, T>(in.x, out.dstream, "dstream");
  expects(out.dgain.size() == in.gain.size(), "residual_norm: gain has ", in.gain.size(), " entries but dgain ",
          out.dgain.size());
  if constexpr (ResidualNormOps<B, T>) {
    residual_norm_backward<T>(b, site, in, inv_rms, out);
  } else {
    static_assert(AccumulateOps<B, T>,
                  "this backend has no accumulate for this scalar; add it in backend/<name>/adamw.hpp");
    scratch_scope<B> const scope(b.scratch());
    out_matrix<B, T> const dx = take<T>(b, in.x.rows(), in.x.columns());
    rms_norm_backward<T>(b, in, inv_rms, out.dy, {dx, out.dgain});
    if (out.dstream.contiguous())
      accumulate<T>(b, dx.flat(), out.dstream.flat());
    else
      for (index_t i = 0; i < dx.rows(); ++i) accumulate<T>(b, dx.row(i), out.dstream.row(i));
    dropout_copy<T>(b, site, out.dstream, out.dy);
  }
}

}  // namespace mql4grec::nn
