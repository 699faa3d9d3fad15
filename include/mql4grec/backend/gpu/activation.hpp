#pragma once
// The feed-forward activations, each with the dropout that follows it in T5; see backend/reference/activation.hpp.
#include "mql4grec/backend/gpu/dropout.hpp"
#include "mql4grec/backend/reference/activation.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, class M>
struct relu_entry {
  dropout site;
  M h;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { h(i, j) = h(i, j) > 0 ? dropped(site, i, j, h(i, j)) : T{}; }
};

template <Real T, class In, class Out>
struct relu_gradient_entry {
  T scale;
  In h;
  Out dh;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { dh(i, j) = h(i, j) > 0 ? dh(i, j) * scale : T{}; }
};

template <Real T, class In, class Out>
struct gated_gelu_entry {
  dropout site;
  In gates;
  Out h;
  MQL4GREC_HD void operator()(index_t i, index_t j) const {
    T const gate = gates(i, j), t = std::tanh(reference::detail::gelu_argument<T>(gate));
    h(i, j) = dropped(site, i, j, reference::detail::gelu_of<T>(gate, t) * gates(i, h.columns() + j));
  }
};

template <Real T, class In, class Out>
struct gated_gelu_gradient_entry {
  dropout site;
  In gates;
  Out dh, dgates;
  MQL4GREC_HD void operator()(index_t i, index_t j) const {
    T const passed = dropped(site, i, j, dh(i, j)), gate = gates(i, j), linear = gates(i, dh.columns() + j);
    T const t = std::tanh(reference::detail::gelu_argument<T>(gate));
    dgates(i, j) = passed * linear * reference::detail::gelu_derivative_of<T>(gate, t);
    dgates(i, dh.columns() + j) = passed * reference::detail::gelu_of<T>(gate, t);
  }
};

}  // namespace detail

// h (rows,f) = dropout(max(h, 0)), in place.
template <Real T, class System>
void relu_forward(backend<System>& b, dropout site, out_matrix<backend<System>, T> h) {
  detail::for_each_entry(b, h.rows(), h.columns(), detail::relu_entry<T, decltype(h)>{site, h});
}

// dh = dh ∘ [h > 0] / (1 − rate)
template <Real T, class System>
void relu_backward(backend<System>& b, dropout site, in_matrix<backend<System>, T> h, out_matrix<backend<System>, T> dh) {
  T const scale = static_cast<T>(site.active() ? site.scale() : 1);
  detail::for_each_entry(b, dh.rows(), dh.columns(), detail::relu_gradient_entry<T, decltype(h), decltype(dh)>{scale, h, dh});
}

// gates (rows,2f): the gate's and the linear branch's values side by side -> h (rows,f)
template <Real T, class System>
void gated_gelu_forward(backend<System>& b, dropout site, in_matrix<backend<System>, T> gates, out_matrix<backend<System>, T> h) {
  detail::for_each_entry(b, h.rows(), h.columns(), detail::gated_gelu_entry<T, decltype(gates), decltype(h)>{site, gates, h});
}

// dh (rows,f) -> dgates (rows,2f), overwritten
template <Real T, class System>
void gated_gelu_backward(backend<System>& b, dropout site, in_matrix<backend<System>, T> gates, out_matrix<backend<System>, T> dh,
                         out_matrix<backend<System>, T> dgates) {
  detail::for_each_entry(b, dh.rows(), dh.columns(),
                         detail::gated_gelu_gradient_entry<T, decltype(gates), decltype(dh)>{site, gates, dh, dgates});
}

}  // namespace mql4grec::gpu
