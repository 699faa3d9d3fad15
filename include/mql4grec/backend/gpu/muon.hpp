#pragma once
// The parts of Muon that aren't matrix products. They read the step's values from the backend's memory, so they can be
// captured.
#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {

/// The arguments of a kernel of one update. Entry i of the stack of matrices is entry i % size of matrix i / size.
template <Real T>
struct muon_arguments {
  muon_update how;
  matrix_group matrices;
  step_inputs const* inputs;
  step_report const* report;
  T const* gradient;
  T *parameters, *momentum, *direction;

  MQL4GREC_HD muon_factors<T> factors(index_t matrix) const { return {how, matrices.rates[matrix], *inputs, *report}; }
};

template <class S, Real T>
muon_arguments<T> arguments_of(muon_update const& how, step_values<S> const& step, matrix_group const& matrices,
                               muon_tensors<S, T> const& on) {
  return {how,
          matrices,
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
    index_t const matrix = i / on.matrices.size(), at = on.matrices.place(matrix, i % on.matrices.size());
    auto const f = on.factors(matrix);
    T const g = on.gradient[at] * f.gradient, m = f.momentum * on.momentum[at] + g;
    on.momentum[at] = m;
    on.direction[i] = g + f.momentum * m;
  }
};

template <Real T>
struct muon_step_entry {
  muon_arguments<T> on;

  MQL4GREC_HD void operator()(index_t i) const {
    if (!on.report->finite()) return;
    index_t const matrix = i / on.matrices.size(), at = on.matrices.place(matrix, i % on.matrices.size());
    auto const f = on.factors(matrix);
    on.parameters[at] = f.keep * on.parameters[at] - f.rate * on.direction[i];
  }
};

/// squares[number] = Σ x² over a part of a row; each row has `parts`.
template <class M>
struct row_part_squares {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  M x;
  index_t parts;
  double* squares;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const row = number / parts, each = (x.columns() + parts - 1) / parts, first = number % parts * each;
    index_t const last = first + each < x.columns() ? first + each : x.columns();
    typename ThreadGroup::template local<double> mine;
    group.each([&](int t) {
      double total = 0;
      for (index_t i = first + t; i < last; i += threads) {
        double const value = static_cast<double>(x(row, i));
        total += value * value;
      }
      mine[t] = total;
    });
    double const total = group.sum(mine);
    group.each([&](int t) {
      if (t == 0) squares[number] = total;
    });
  }
};

/// factors[row] = 1 / √Σ of the row's parts
struct row_norm_entry {
  double const* squares;
  index_t parts;
  double* factors;

  MQL4GREC_HD void operator()(index_t row) const {
    double total = 0;
    for (index_t p = 0; p < parts; ++p) total += squares[row * parts + p];
    factors[row] = inverse_norm(total);
  }
};

template <Real T, class M>
struct scale_row_entry {
  double const* factors;
  M x;

  MQL4GREC_HD void operator()(index_t row, index_t i) const { x(row, i) *= static_cast<T>(factors[row]); }
};

}  // namespace detail

/// For each matrix of the group: momentum = μ · momentum + gradient, with the gradient scaled by the report's factor;
/// direction = gradient + μ · momentum (Nesterov's form). Changes nothing when the report isn't finite.
template <Real T, class System>
void muon_direction(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
                    matrix_group const& matrices, muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_index(b, matrices.count * matrices.size(),
                         detail::muon_direction_entry<T>{detail::arguments_of(how, step, matrices, on)});
}

/// Divides each row of x (rows,n) by its Euclidean norm; zeros stay zeros.
template <Real T, class System>
void normalize_rows(backend<System>& b, out_matrix<backend<System>, T> x) {
  constexpr index_t part = 4096;
  index_t const parts = std::max<index_t>(1, (x.columns() + part - 1) / part);
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const squares = take<double>(b, x.rows() * parts), factors = take<double>(b, x.rows());
  detail::for_each_group(b, x.rows() * parts, detail::row_part_squares<decltype(x)>{x, parts, squares.data});
  detail::for_each_index(b, x.rows(), detail::row_norm_entry{squares.data, parts, factors.data});
  detail::for_each_entry(b, x.rows(), x.columns(), detail::scale_row_entry<T, decltype(x)>{factors.data, x});
}

/// For each matrix of the group: parameters = (1 − rate · decay) · parameters − rate · scale · direction. Changes
/// nothing when the report isn't finite.
template <Real T, class System>
void muon_step(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
               matrix_group const& matrices, muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_index(b, matrices.count * matrices.size(),
                         detail::muon_step_entry<T>{detail::arguments_of(how, step, matrices, on)});
}

}  // namespace mql4grec::gpu
