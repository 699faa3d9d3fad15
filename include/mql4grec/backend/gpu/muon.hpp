#pragma once
// The elementwise parts of Muon. They read the step's values from the backend's memory, so they can be captured.
#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {

/// The arguments of a kernel of one update.
template <Real T>
struct muon_arguments {
  muon_update how;
  step_inputs const* inputs;
  step_report const* report;
  T const* gradient;
  T *parameters, *momentum, *direction;

  MQL4GREC_HD muon_factors<T> factors() const { return {how, *inputs, *report}; }
};

template <class S, Real T>
muon_arguments<T> arguments_of(muon_update const& how, step_values<S> const& step, muon_tensors<S, T> const& on) {
  return {how,
          step.inputs.data,
          step.report.data,
          on.gradient.data,
          on.parameters.data,
          on.momentum.data,
          on.direction.data};
}

template <Real T>
struct muon_direction_entry {
  muon_arguments<T> on;

  MQL4GREC_HD void operator()(index_t i) const {
    if (!on.report->finite()) return;
    auto const f = on.factors();
    T const g = on.gradient[i] * f.gradient, m = f.momentum * on.momentum[i] + g;
    on.momentum[i] = m;
    on.direction[i] = g + f.momentum * m;
  }
};

template <Real T>
struct divide_by_norm_entry {
  double const* squares;
  T* x;

  MQL4GREC_HD void operator()(index_t i) const { x[i] *= static_cast<T>(inverse_norm(*squares)); }
};

template <Real T>
struct muon_step_entry {
  muon_arguments<T> on;

  MQL4GREC_HD void operator()(index_t i) const {
    if (!on.report->finite()) return;
    auto const f = on.factors();
    on.parameters[i] = f.keep * on.parameters[i] - f.rate * on.direction[i];
  }
};

}  // namespace detail

/// momentum = μ · momentum + gradient, with the gradient scaled by the report's factor; direction = gradient + μ ·
/// momentum (Nesterov's form). Changes nothing when the report isn't finite.
template <Real T, class System>
void muon_direction(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
                    muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_index(b, on.momentum.size(), detail::muon_direction_entry<T>{detail::arguments_of(how, step, on)});
}

/// x /= √squares (1); zeros stay zeros.
template <Real T, class System>
void divide_by_norm(backend<System>& b, in_vector<backend<System>, double> squares, out_vector<backend<System>, T> x) {
  detail::for_each_index(b, x.size(), detail::divide_by_norm_entry<T>{squares.data, x.data});
}

/// parameters = (1 − rate · decay) · parameters − rate · scale · direction. Changes nothing when the report isn't
/// finite.
template <Real T, class System>
void muon_step(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
               muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_index(b, on.parameters.size(), detail::muon_step_entry<T>{detail::arguments_of(how, step, on)});
}

}  // namespace mql4grec::gpu
