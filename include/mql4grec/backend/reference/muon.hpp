#pragma once
// The elementwise parts of Muon.
#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// momentum = μ · momentum + gradient, with the gradient scaled by the report's factor; direction = gradient + μ ·
/// momentum (Nesterov's form). Changes nothing when the report isn't finite.
template <Real T>
void muon_direction(backend&, muon_update const& how, step_values<host_space> const& step,
                    muon_tensors<host_space, T> const& on) {
  if (!step.report(0).finite()) return;
  muon_factors<T> const f(how, step.inputs(0), step.report(0));
  for (index_t i = 0; i < on.momentum.size(); ++i) {
    T const g = on.gradient(i) * f.gradient;
    on.momentum(i) = f.momentum * on.momentum(i) + g;
    on.direction(i) = g + f.momentum * on.momentum(i);
  }
}

/// x /= √squares (1); zeros stay zeros.
template <Real T>
void divide_by_norm(backend&, in_vector<backend, double> squares, out_vector<backend, T> x) {
  T const factor = static_cast<T>(inverse_norm(squares(0)));
  for (index_t i = 0; i < x.size(); ++i) x(i) *= factor;
}

/// parameters = (1 − rate · decay) · parameters − rate · scale · direction. Changes nothing when the report isn't
/// finite.
template <Real T>
void muon_step(backend&, muon_update const& how, step_values<host_space> const& step,
               muon_tensors<host_space, T> const& on) {
  if (!step.report(0).finite()) return;
  muon_factors<T> const f(how, step.inputs(0), step.report(0));
  for (index_t i = 0; i < on.parameters.size(); ++i)
    on.parameters(i) = f.keep * on.parameters(i) - f.rate * on.direction(i);
}

}  // namespace mql4grec::reference
