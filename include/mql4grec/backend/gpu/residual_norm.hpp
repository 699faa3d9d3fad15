#pragma once
// A residual connection and the norm after it in a single pass over the rows; see nn/residual_norm.hpp for the
// definition. One warp per row: a member handles every 32nd column, so that a warp reads neighbouring entries and one
// Philox counter provides the bits of four columns of a member. A member's part of the first 128 columns, which is all
// of T5's usual width, stays in registers between the sum and the norm.
#include <cmath>

#include "mql4grec/backend/gpu/dropout.hpp"
#include "mql4grec/backend/gpu/primitives/column_sums.hpp"
#include "mql4grec/backend/gpu/rms_norm.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class In, class Out>
struct residual_norm_rows {
  static constexpr int threads = strip<T>::apart;
  static constexpr std::size_t shared_bytes() { return 0; }
  strip_dropout<T> drop;
  In from;
  T const* gain;
  T eps;
  Out stream, normed;
  T* inv_rms;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    int const d = static_cast<int>(stream.columns());
    T const* const from_row = from.row(i).data;
    T *const row = stream.row(i).data, *const normed_row = normed.row(i).data;
    typename ThreadGroup::template local<strip<T>> begin;
    typename ThreadGroup::template local<T> squares;
    group.each([&](int t) {
      squares[t] = T{};
      for_each_strip<T>(t, d, [&](int j) {
        auto const before = strip<T>::read(from_row + j, d - j);
        auto sum = strip<T>::read(row + j, d - j);
        drop.apply(i, j, sum);
        unrolled<strip<T>::parts>([&](auto q) {
          sum.of[q] += before.of[q];
          squares[t] += sum.of[q] * sum.of[q];
        });
        sum.write(row + j, d - j);
        if (j == t) begin[t] = sum;
      });
    });
    T const r = 1 / std::sqrt(group.sum(squares) / static_cast<T>(d) + eps);
    group.each([&](int t) {
      if (t == 0) inv_rms[i] = r;
      for_each_strip<T>(t, d, [&](int j) {
        auto const gains = strip<T>::read(gain + j, d - j);
        auto x = j == t ? begin[t] : strip<T>::read(row + j, d - j);
        unrolled<strip<T>::parts>([&](auto q) { x.of[q] = x.of[q] * r * gains.of[q]; });
        x.write(normed_row + j, d - j);
      });
    });
  }
};

template <Real T, class In, class Out>
struct residual_norm_gradient_rows {
  static constexpr int threads = strip<T>::apart;
  static constexpr std::size_t shared_bytes() { return 0; }
  strip_dropout<T> drop;
  In stream;
  T const *gain, *inv_rms;
  Out dy, dstream;

  /// x and dy ∘ gain of a strip.
  struct factors {
    strip<T> x, dx;
  };
  MQL4GREC_HD factors read(index_t i, int j) const {
    int const left = static_cast<int>(stream.columns()) - j;
    factors f{strip<T>::read(stream.row(i).data + j, left), strip<T>::read(dy.row(i).data + j, left)};
    auto const gains = strip<T>::read(gain + j, left);
    unrolled<strip<T>::parts>([&](auto q) { f.dx.of[q] *= gains.of[q]; });
    return f;
  }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    int const d = static_cast<int>(stream.columns());
    T *const dy_row = dy.row(i).data, *const dstream_row = dstream.row(i).data;
    T const r = inv_rms[i];
    typename ThreadGroup::template local<factors> begin;
    typename ThreadGroup::template local<T> inner_product;
    group.each([&](int t) {
      inner_product[t] = T{};
      for_each_strip<T>(t, d, [&](int j) {
        auto const f = read(i, j);
        unrolled<strip<T>::parts>([&](auto q) { inner_product[t] += f.dx.of[q] * f.x.of[q]; });
        if (j == t) begin[t] = f;
      });
    });
    T const x_factor = group.sum(inner_product) * r * r * r / static_cast<T>(d);
    group.each([&](int t) {
      for_each_strip<T>(t, d, [&](int j) {
        auto sum = strip<T>::read(dstream_row + j, d - j);
        auto const f = j == t ? begin[t] : read(i, j);
        unrolled<strip<T>::parts>([&](auto q) { sum.of[q] += f.dx.of[q] * r - f.x.of[q] * x_factor; });
        sum.write(dstream_row + j, d - j);
        drop.apply(i, j, sum);
        sum.write(dy_row + j, d - j);
      });
    });
  }
};

}  // namespace detail

/// stream = from + dropout(stream), then normed = RMSNorm of stream; inv_rms is kept for the backward pass.
template <Real T, class System>
void residual_norm_forward(backend<System>& b, dropout site, double eps,
                           residual_norm_tensors<device_space<System>, T> const& on) {
  using rows = detail::residual_norm_rows<T, decltype(on.from), decltype(on.stream)>;
  detail::for_each_group(b, on.stream.rows(),
                         rows{detail::strip_dropout<T>(site), on.from, on.gain.data, static_cast<T>(eps), on.stream,
                              on.normed, on.inv_rms.data});
}

/// Adds the gradients of out.dy through the norm to out.dstream and out.dgain, then sets out.dy = dropout(out.dstream).
/// in.x is the stream.
template <Real T, class System>
void residual_norm_backward(backend<System>& b, dropout site, rms_norm_inputs<device_space<System>, T> const& in,
                            in_vector<backend<System>, T> inv_rms,
                            residual_norm_gradients<device_space<System>, T> const& out) {
  using rows = detail::residual_norm_gradient_rows<T, decltype(in.x), decltype(out.dy)>;
  detail::add_column_sums<T>(b, in.x.rows(), in.x.columns(),
                             detail::gain_gradient<T, decltype(in.x)>{in.x, out.dy, inv_rms.data}, out.dgain);
  detail::for_each_group(b, in.x.rows(),
                         rows{detail::strip_dropout<T>(site), in.x, in.gain.data, inv_rms.data, out.dy, out.dstream});
}

}  // namespace mql4grec::gpu
