#pragma once
// The parts of Muon that aren't matrix products. They read the step's values from the backend's memory, so they can be
// captured.
#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/gpu/primitives/sum.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Entries first … last − 1 of a row; or of a matrix, which is a row of the stack.
struct row_part {
  static constexpr index_t entries = 4096;
  index_t row, first, last;

  static MQL4GREC_HD index_t parts_of(index_t columns) { return (columns + entries - 1) / entries; }
  MQL4GREC_HD row_part(index_t number, index_t columns)
      : row(number / parts_of(columns)), first(number % parts_of(columns) * entries) {
    last = first + entries < columns ? first + entries : columns;
  }
};

/// The arrays of an update without their sizes.
template <Real T>
struct muon_pointers {
  T const* gradient;
  T *parameters, *momentum, *direction;
};

/// Calls Entry for all entries of a group of matrices, with a thread group for each part of a matrix: each reads two
/// entries of the table of matrices, which stays where the kernel's arguments are.
template <Real T, class Entry>
struct muon_parts {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  muon_update how;
  matrix_group matrices;
  step_inputs const* inputs;
  step_report const* report;
  muon_pointers<T> on;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    if (!report->finite()) return;
    row_part const part(number, matrices.size());
    muon_factors<T> const f(how, matrices.rates[part.row], *inputs, *report);
    index_t const place = matrices.offsets[part.row], in_stack = part.row * matrices.size();
    group.each([&](int t) {
      for (index_t i = part.first + t; i < part.last; i += threads) Entry{}(on, f, place + i, in_stack + i);
    });
  }
};

/// The visits of an entry: its place among the parameters, and in the stack.
struct muon_direction_entry {
  template <Real T>
  MQL4GREC_HD void operator()(muon_pointers<T> const& on, muon_factors<T> const& f, index_t at, index_t i) const {
    T const g = on.gradient[at] * f.gradient, m = f.momentum * on.momentum[at] + g;
    on.momentum[at] = m;
    on.direction[i] = g + f.momentum * m;
  }
};
struct muon_step_entry {
  template <Real T>
  MQL4GREC_HD void operator()(muon_pointers<T> const& on, muon_factors<T> const& f, index_t at, index_t i) const {
    on.parameters[at] = f.keep * on.parameters[at] - f.rate * on.direction[i];
  }
};

template <class Entry, Real T, class System>
void for_each_part(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
                   matrix_group const& matrices, muon_tensors<device_space<System>, T> const& on) {
  for_each_group(b, matrices.count * row_part::parts_of(matrices.size()),
                 muon_parts<T, Entry>{how,
                                      matrices,
                                      step.inputs.data,
                                      step.report.data,
                                      {on.gradient.data, on.parameters.data, on.momentum.data, on.direction.data}});
}

/// squares[number] = Σ x² over a part of a row
template <class M>
struct part_squares {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  M x;
  double* squares;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    row_part const part(number, x.columns());
    double const total = sum_by<double>(group, part.first, part.last, [&](index_t i) {
      double const value = static_cast<double>(x(part.row, i));
      return value * value;
    });
    group.each([&](int t) {
      if (t == 0) squares[number] = total;
    });
  }
};

/// Divides a part of a row by the norm that the squares of all its parts give.
template <Real T, class M>
struct normalize_parts {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  M x;
  double const* squares;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    row_part const part(number, x.columns());
    index_t const parts = row_part::parts_of(x.columns()), first = part.row * parts;
    double const total = sum_by<double>(group, first, first + parts, [&](index_t p) { return squares[p]; });
    T const factor = static_cast<T>(inverse_norm(total));
    group.each([&](int t) {
      for (index_t i = part.first + t; i < part.last; i += threads) x(part.row, i) *= factor;
    });
  }
};

}  // namespace detail

/// For each matrix of the group: momentum = μ · momentum + gradient, with the gradient scaled by the report's factor;
/// direction = gradient + μ · momentum (Nesterov's form). Changes nothing when the report isn't finite.
template <Real T, class System>
void muon_direction(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
                    matrix_group const& matrices, muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_part<detail::muon_direction_entry>(b, how, step, matrices, on);
}

/// Divides each row of x (rows,n) by its Euclidean norm; zeros stay zeros.
template <Real T, class System>
void normalize_rows(backend<System>& b, out_matrix<backend<System>, T> x) {
  index_t const groups = x.rows() * detail::row_part::parts_of(x.columns());
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const squares = take<double>(b, groups);
  detail::for_each_group(b, groups, detail::part_squares<decltype(x)>{x, squares.data});
  detail::for_each_group(b, groups, detail::normalize_parts<T, decltype(x)>{x, squares.data});
}

/// For each matrix of the group: parameters = (1 − rate · decay) · parameters − rate · scale · direction. Changes
/// nothing when the report isn't finite.
template <Real T, class System>
void muon_step(backend<System>& b, muon_update const& how, step_values<device_space<System>> const& step,
               matrix_group const& matrices, muon_tensors<device_space<System>, T> const& on) {
  detail::for_each_part<detail::muon_step_entry>(b, how, step, matrices, on);
}

}  // namespace mql4grec::gpu
