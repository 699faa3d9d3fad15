#pragma once
// The parts of Muon that aren't matrix products.
#include <concepts>

#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/reference/adamw.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// For each matrix of the group: momentum = μ · momentum + gradient, with the gradient scaled by the report's factor;
/// direction = gradient + μ · momentum (Nesterov's form). Changes nothing when the report isn't finite.
template <Real T>
void muon_direction(backend&, muon_update const& how, step_values<host_space> const& step, matrix_group const& matrices,
                    muon_tensors<host_space, T> const& on) {
  if (!step.report(0).finite()) return;
  for (index_t m = 0; m < matrices.count; ++m) {
    muon_factors<T> const f(how, matrices.rates[m], step.inputs(0), step.report(0));
    for (index_t i = 0; i < matrices.size(); ++i) {
      index_t const at = matrices.offsets[m] + i;
      T const g = on.gradient(at) * f.gradient;
      on.momentum(at) = f.momentum * on.momentum(at) + g;
      on.direction(m * matrices.size() + i) = g + f.momentum * on.momentum(at);
    }
  }
}

/// Divides each row of x (rows,n) by its Euclidean norm; zeros stay zeros.
template <Real T, std::derived_from<backend> B>
void normalize_rows(B& b, out_matrix<backend, T> x) {  // calls the derived backend's sum_of_squares
  for (index_t r = 0; r < x.rows(); ++r) {
    T const factor = static_cast<T>(inverse_norm(sum_of_squares<T>(b, in_vector<backend, T>(x.row(r)))));
    for (index_t i = 0; i < x.columns(); ++i) x(r, i) *= factor;
  }
}

/// For each matrix of the group: parameters = (1 − rate · decay) · parameters − rate · scale · direction. Changes
/// nothing when the report isn't finite.
template <Real T>
void muon_step(backend&, muon_update const& how, step_values<host_space> const& step, matrix_group const& matrices,
               muon_tensors<host_space, T> const& on) {
  if (!step.report(0).finite()) return;
  for (index_t m = 0; m < matrices.count; ++m) {
    muon_factors<T> const f(how, matrices.rates[m], step.inputs(0), step.report(0));
    for (index_t i = 0; i < matrices.size(); ++i) {
      T& parameter = on.parameters(matrices.offsets[m] + i);
      parameter = f.keep * parameter - f.rate * on.direction(m * matrices.size() + i);
    }
  }
}

}  // namespace mql4grec::reference
