#pragma once
// The feed-forward activations, T5's with the dropout that follows them; see backend/reference/activation.hpp.
#include "mql4grec/backend/gpu/dropout.hpp"
#include "mql4grec/backend/reference/activation.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class M>
struct relu_strip {
  strip_dropout<T> drop;
  M h;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto s = strip<T>::read(h.row(i).data + j, left);
    unrolled<strip<T>::parts>([&](auto q) { s.of[q] = s.of[q] > 0 ? s.of[q] : T{}; });
    drop.apply(i, j, s);
    s.write(h.row(i).data + j, left);
  }
};

template <Real T, class In, class Out>
struct relu_gradient_strip {
  T scale;
  In h;
  Out dh;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto const values = strip<T>::read(h.row(i).data + j, left);
    auto s = strip<T>::read(dh.row(i).data + j, left);
    unrolled<strip<T>::parts>([&](auto q) { s.of[q] = values.of[q] > 0 ? s.of[q] * scale : T{}; });
    s.write(dh.row(i).data + j, left);
  }
};

template <Real T, class In, class Out>
struct gated_gelu_strip {
  strip_dropout<T> drop;
  In gates;
  Out h;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto const gate = strip<T>::read(gates.row(i).data + j, left),
               linear = strip<T>::read(gates.row(i).data + h.columns() + j, left);
    strip<T> s;
    unrolled<strip<T>::parts>([&](auto q) {
      T const t = std::tanh(reference::detail::gelu_argument<T>(gate.of[q]));
      s.of[q] = reference::detail::gelu_of<T>(gate.of[q], t) * linear.of[q];
    });
    drop.apply(i, j, s);
    s.write(h.row(i).data + j, left);
  }
};

template <Real T, class In, class Out>
struct gated_gelu_gradient_strip {
  strip_dropout<T> drop;
  In gates;
  Out dh, dgates;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto const gate = strip<T>::read(gates.row(i).data + j, left),
               linear = strip<T>::read(gates.row(i).data + dh.columns() + j, left);
    auto passed = strip<T>::read(dh.row(i).data + j, left);
    drop.apply(i, j, passed);
    strip<T> dgate, dlinear;
    unrolled<strip<T>::parts>([&](auto q) {
      T const t = std::tanh(reference::detail::gelu_argument<T>(gate.of[q]));
      dgate.of[q] = passed.of[q] * linear.of[q] * reference::detail::gelu_derivative_of<T>(gate.of[q], t);
      dlinear.of[q] = passed.of[q] * reference::detail::gelu_of<T>(gate.of[q], t);
    });
    dgate.write(dgates.row(i).data + j, left);
    dlinear.write(dgates.row(i).data + dh.columns() + j, left);
  }
};

/// Applies `f` to every entry of h, in place.
template <Real T, class Function, class M>
struct mapped_strip {
  Function f;
  M h;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto s = strip<T>::read(h.row(i).data + j, left);
    unrolled<strip<T>::parts>([&](auto q) { s.of[q] = f(s.of[q]); });
    s.write(h.row(i).data + j, left);
  }
};

template <Real T>
struct gelu_of_entry {
  MQL4GREC_HD T operator()(T x) const { return T(0.5) * x * (1 + std::erf(x * static_cast<T>(0.7071067811865476))); }
};
/// x · sigmoid(slope · x)
template <Real T>
struct sigmoid_gated_entry {
  T slope;
  MQL4GREC_HD T operator()(T x) const { return x / (1 + std::exp(-slope * x)); }
};

template <Real T, class In, class Out>
struct swiglu_strip {
  In gates;
  Out h;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto const gate = strip<T>::read(gates.row(i).data + j, left),
               linear = strip<T>::read(gates.row(i).data + h.columns() + j, left);
    sigmoid_gated_entry<T> const silu{1};
    strip<T> s;
    unrolled<strip<T>::parts>([&](auto q) { s.of[q] = silu(gate.of[q]) * linear.of[q]; });
    s.write(h.row(i).data + j, left);
  }
};

}  // namespace detail

/// h (rows,f) = gelu(h) by the error function, in place.
template <Real T, class System>
void gelu_forward(backend<System>& b, out_matrix<backend<System>, T> h) {
  detail::for_each_row_strip<T>(b, h.rows(), h.columns(),
                                detail::mapped_strip<T, detail::gelu_of_entry<T>, decltype(h)>{{}, h});
}

/// h (rows,f) = h · sigmoid(1.702 h), in place.
template <Real T, class System>
void quick_gelu_forward(backend<System>& b, out_matrix<backend<System>, T> h) {
  constexpr auto slope = static_cast<T>(reference::detail::quick_gelu_slope);
  detail::for_each_row_strip<T>(b, h.rows(), h.columns(),
                                detail::mapped_strip<T, detail::sigmoid_gated_entry<T>, decltype(h)>{{slope}, h});
}

/// h (rows,f) = silu(gate) ∘ linear, where gates (rows,2f) contains a row's gate values, then its linear ones.
template <Real T, class System>
void swiglu_forward(backend<System>& b, in_matrix<backend<System>, T> gates, out_matrix<backend<System>, T> h) {
  detail::for_each_row_strip<T>(b, h.rows(), h.columns(),
                                detail::swiglu_strip<T, decltype(gates), decltype(h)>{gates, h});
}

/// h (rows,f) = dropout(max(h, 0)), in place.
template <Real T, class System>
void relu_forward(backend<System>& b, dropout site, out_matrix<backend<System>, T> h) {
  detail::for_each_row_strip<T>(b, h.rows(), h.columns(),
                                detail::relu_strip<T, decltype(h)>{detail::strip_dropout<T>(site), h});
}

/// dh = dh ∘ [h > 0] / (1 − rate)
template <Real T, class System>
void relu_backward(backend<System>& b, dropout site, in_matrix<backend<System>, T> h,
                   out_matrix<backend<System>, T> dh) {
  T const scale = static_cast<T>(site.active() ? site.scale() : 1);
  detail::for_each_row_strip<T>(b, dh.rows(), dh.columns(),
                                detail::relu_gradient_strip<T, decltype(h), decltype(dh)>{scale, h, dh});
}

/// h (rows,f) = dropout(gelu(gate) ∘ linear), where gates (rows,2f) contains a row's gate values, then its linear ones.
template <Real T, class System>
void gated_gelu_forward(backend<System>& b, dropout site, in_matrix<backend<System>, T> gates,
                        out_matrix<backend<System>, T> h) {
  detail::for_each_row_strip<T>(
      b, h.rows(), h.columns(),
      detail::gated_gelu_strip<T, decltype(gates), decltype(h)>{detail::strip_dropout<T>(site), gates, h});
}

/// dgates (rows,2f) = the gradient of `gates` from dh (rows,f), overwritten. dh is not modified here; other backends
/// overwrite it.
template <Real T, class System>
void gated_gelu_backward(backend<System>& b, dropout site, in_matrix<backend<System>, T> gates,
                         out_matrix<backend<System>, T> dh, out_matrix<backend<System>, T> dgates) {
  detail::for_each_row_strip<T>(b, dh.rows(), dh.columns(),
                                detail::gated_gelu_gradient_strip<T, decltype(gates), decltype(dh)>{
                                    detail::strip_dropout<T>(site), gates, dh, dgates});
}

}  // namespace mql4grec::gpu
