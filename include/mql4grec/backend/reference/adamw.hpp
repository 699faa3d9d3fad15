#pragma once
// AdamW and reductions over flat arrays. Sums are in double: a float sum over millions of entries loses digits.
#include <cmath>
#include <concepts>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// One AdamW update; all arrays are (n). Updates the parameters and both moments. Gradients are multiplied by
/// how.gradient_scale as they are read, and are not modified.
template <Real T>
void adamw_step(backend&, adamw_update how, in_vector<backend, T> gradient, out_vector<backend, T> parameter,
                out_vector<backend, T> first, out_vector<backend, T> second) {
  adamw_factors<T> const f(how);
  for (index_t i = 0; i < parameter.size(); ++i) {
    T const g = gradient(i) * f.scale;
    first(i) = f.b1 * first(i) + f.one_minus_beta1 * g;
    second(i) = f.b2 * second(i) + f.one_minus_beta2 * g * g;
    parameter(i) = parameter(i) * f.keep - f.rate * first(i) / (std::sqrt(second(i)) * f.inv_sqrt_correction2 + f.eps);
  }
}

/// Σ x², summed in double: a float sum over millions of entries loses the digits that clipping depends on.
template <Real T>
double sum_of_squares(backend&, in_vector<backend, T> x) {
  double sum = 0;
  for (index_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x(i)) * static_cast<double>(x(i));
  return sum;
}

/// Σ x, summed in double when T is real.
template <Field T>
auto sum(backend&, in_vector<backend, T> x) {
  using wide = std::conditional_t<Real<T>, double, T>;
  wide total{};
  for (index_t i = 0; i < x.size(); ++i) total += static_cast<wide>(x(i));
  return total;
}

/// to (n) = min(to, from) entry by entry; returns Σ to.
template <Real T>
double keep_smaller(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  double sum = 0;
  for (index_t i = 0; i < to.size(); ++i) {
    if (from(i) < to(i)) to(i) = from(i);
    sum += static_cast<double>(to(i));
  }
  return sum;
}

/// total (1) = Σ x², in double
template <Real T, std::derived_from<backend> B>
void sum_of_squares_into(B& b, in_vector<backend, T> x,
                         out_vector<backend, double> total) {  // calls the derived backend's sum_of_squares
  total(0) = sum_of_squares<T>(b, x);
}

/// total (1) = Σ x, in double
template <Real T, std::derived_from<backend> B>
void sum_into(B& b, in_vector<backend, T> x, out_vector<backend, double> total) {
  total(0) = sum<T>(b, x);
}

/// One update of parameters, gradients and moments, (n) each. `gradient` and `losses` (1) are sums over order.tokens
/// tokens. Weight decay applies to the first `decayed` parameters only. When the loss or the gradient's norm isn't
/// finite, nothing is changed; `report` (1) contains both.
template <Real T>
void captured_adamw_step(backend& b, adamw_update const& rule, double clip_norm, index_t decayed,
                         in_vector<backend, step_inputs> order, in_vector<backend, double> losses,
                         in_vector<backend, T> gradient, out_vector<backend, T> parameter, out_vector<backend, T> first,
                         out_vector<backend, T> second, out_vector<backend, step_report> report) {
  report(0) = {.loss = losses(0) / order(0).tokens,
               .norm = std::sqrt(sum_of_squares<T>(b, gradient)) / order(0).tokens};
  if (!report(0).finite()) return;
  adamw_update how = update_of(rule, clip_norm, order(0), report(0).norm);
  for (index_t const end : {decayed, parameter.size()}) {
    index_t const begin = end == decayed ? 0 : decayed;
    adamw_step<T>(b, how, gradient.part(begin, end - begin), parameter.part(begin, end - begin),
                  first.part(begin, end - begin), second.part(begin, end - begin));
    how.weight_decay = 0;
  }
}

/// to (n) += from (n)
template <Field T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  for (index_t i = 0; i < to.size(); ++i) to(i) += from(i);
}

}  // namespace mql4grec::reference
