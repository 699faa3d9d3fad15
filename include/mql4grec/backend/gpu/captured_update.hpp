#pragma once
// An AdamW update that reads its learning rate, step and clipping from the backend's memory. Nothing depends on host
// values that change, so the update can be captured in a graph.
#include "mql4grec/backend/gpu/adamw.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T>
struct planned_adamw {
  adamw_factors<T> decaying, plain;
  bool wanted;
};

/// Computes the report and the update's factors from the sum of the losses and the sum of the gradient's squares.
template <Real T>
struct plan_adamw {
  captured_adamw_options options;
  step_inputs const* inputs;
  double const *losses, *squares;  // (1) each
  step_report* report;
  planned_adamw<T>* plan;

  MQL4GREC_HD void operator()(index_t) const {
    *report = {.loss = *losses / inputs->tokens, .norm = std::sqrt(*squares) / inputs->tokens};
    adamw_update how = update_of(options, *inputs, report->norm);
    report->gradient_scale = how.gradient_scale;
    plan->wanted = report->finite();
    plan->decaying = adamw_factors<T>(how);
    how.weight_decay = 0;
    plan->plain = adamw_factors<T>(how);
  }
};

template <Real T>
struct planned_adamw_entry {
  planned_adamw<T> const* plan;
  index_t decayed, skipped_first, skipped_last;
  adamw_pointers<T> on;

  MQL4GREC_HD void operator()(index_t i) const {
    bool const skipped = i >= skipped_first && i < skipped_last;
    if (plan->wanted && !skipped) adamw_entry<T>{i < decayed ? plan->decaying : plan->plain, on}(i);
  }
};

}  // namespace detail

/// sum (1) = Σ x, in double
template <Real T, class System>
void sum_into(backend<System>& b, in_vector<backend<System>, T> x, out_vector<backend<System>, double> sum) {
  detail::sum_into<double>(b, x.size(), detail::wide_entry<T>{x.data}, sum.data);
}

/// sum (1) = Σ x², in double
template <Real T, class System>
void sum_of_squares_into(backend<System>& b, in_vector<backend<System>, T> x, out_vector<backend<System>, double> sum) {
  detail::sum_into<double>(b, x.size(), detail::square_of<T>{x.data}, sum.data);
}

/// One update of the parameters and both moments, by the gradient and losses that are sums over memory.inputs.tokens
/// tokens. When the loss or the gradient's norm isn't finite, nothing is changed; memory.report contains both.
template <Real T, class System>
void captured_adamw_step(backend<System>& b, captured_adamw_options const& options,
                         captured_step_memory<device_space<System>> const& memory,
                         adamw_tensors<device_space<System>, T> const& on) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const squares = take<double>(b, 1);
  auto const plan = take<detail::planned_adamw<T>>(b, 1);
  sum_of_squares_into<T>(b, on.gradient, squares);
  detail::for_each_index(b, 1,
                         detail::plan_adamw<T>{options, memory.inputs.data, memory.losses.data, squares.data,
                                               memory.report.data, plan.data});
  detail::for_each_index(b, on.parameters.size(),
                         detail::planned_adamw_entry<T>{plan.data, options.decayed, options.skipped_first,
                                                        options.skipped_last, detail::pointers_of(on)});
}

}  // namespace mql4grec::gpu
