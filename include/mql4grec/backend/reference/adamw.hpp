#pragma once
// AdamW and reductions over flat arrays. Sums are in double: a float sum over millions of entries loses digits.
#include <algorithm>
#include <cmath>
#include <concepts>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// One AdamW update of the parameters and both moments. Gradients are multiplied by how.gradient_scale as they are
/// read.
template <Real T>
void adamw_step(backend&, adamw_update const& how, adamw_tensors<host_space, T> const& on) {
  adamw_factors<T> const f(how);
  auto const [gradient, parameter, first, second] = on;
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

/// to (n) = min(to, from) entry by entry; total (1) = Σ to, in double
template <Real T>
void minimum_in_place(backend&, in_vector<backend, T> from, out_vector<backend, T> to,
                      out_vector<backend, double> total) {
  double sum = 0;
  for (index_t i = 0; i < to.size(); ++i) {
    if (from(i) < to(i)) to(i) = from(i);
    sum += static_cast<double>(to(i));
  }
  total(0) = sum;
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

/// One update of the parameters and both moments, by the gradient and losses that are sums over memory.inputs.tokens
/// tokens. When the loss or the gradient's norm isn't finite, nothing is changed; memory.report contains both.
template <Real T>
void captured_adamw_step(backend& b, captured_adamw_options const& options,
                         captured_step_memory<host_space> const& memory, adamw_tensors<host_space, T> const& on) {
  step_inputs const inputs = memory.inputs(0);
  step_report report{.loss = memory.losses(0) / inputs.tokens,
                     .norm = std::sqrt(sum_of_squares<T>(b, on.gradient)) / inputs.tokens};
  adamw_update how = update_of(options, inputs, report.norm);
  report.gradient_scale = how.gradient_scale;
  memory.report(0) = report;
  if (!report.finite()) return;
  auto const range = [&](index_t begin, index_t end) {  // without the skipped entries
    index_t const before = std::clamp(options.skipped_first, begin, end),
                  after = std::clamp(options.skipped_last, before, end);
    adamw_step<T>(b, how, on.part(begin, before - begin));
    adamw_step<T>(b, how, on.part(after, end - after));
  };
  range(0, options.decayed);
  how.weight_decay = 0;
  range(options.decayed, on.parameters.size());
}

/// to (n) += from (n)
template <Field T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  for (index_t i = 0; i < to.size(); ++i) to(i) += from(i);
}

}  // namespace mql4grec::reference
