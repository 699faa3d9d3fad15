#pragma once
// AdamW with clipping by the global norm. Hyper-parameters (`adamw`) are a value; run state (`adamw_state`) is
// separate.
#include <cmath>
#include <utility>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/nn/parameters.hpp"

namespace mql4grec::optim {

/// The operations that the optimizer requires of a backend.
template <class B, class T>
concept OptimizerOps = Backend<B> && requires(B& b, adamw_update how, in_vector<B, T> x, out_vector<B, T> y) {
  adamw_step<T>(b, how, x, y, y, y);
  { sum_of_squares<T>(b, x) } -> std::convertible_to<double>;
  accumulate<T>(b, x, y);
};

/// Hyper-parameters of AdamW with clipping by the global norm; a value, without run state.
struct adamw {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< decay rates of the moments; added to the root
  double weight_decay = 0.01;                         ///< applied to all parameters but norm gains
  double clip_norm = 1.0;  ///< the maximum norm of the whole gradient; ≤ 0 disables clipping

  bool operator==(adamw const&) const = default;
};

/// The moments of all parameters and the number of updates so far.
template <Backend B, class T>
struct adamw_state {
  /// The running means of the gradients and of their squares, laid out like the parameters.
  buffer<T, typename B::memory_space> first, second;
  std::int64_t step = 0;  ///< number of updates so far

  adamw_state() = default;
  /// Zero moments for a flat buffer of this size.
  adamw_state(B& b, index_t parameters)
      : first(b.template allocate<T>(parameters)), second(b.template allocate<T>(parameters)) {}
};

/// Throws training_error when the loss or the norm isn't finite.
inline void expect_finite(std::int64_t step, step_report const& report) {
  if (!report.finite())
    detail::raise<training_error>("step ", step, ": the loss is ", report.loss, " and the gradient's norm ",
                                  report.norm, ", expected finite numbers; try a smaller learning rate");
}

/// One update of the range [first, first + count) of the flat buffers. All of it must have weight decay or none of it:
/// the range must not cross layout.decayed().
template <class T, class B>
void update_range(B& b, adamw_update const& how, index_t first, index_t count, in_vector<B, T> gradient,
                  out_vector<B, T> parameters, adamw_state<B, T>& state) {
  static_assert(OptimizerOps<B, T>,
                "this backend has no adamw_step for this scalar; add it in backend/<name>/adamw.hpp");
  adamw_step<T>(b, how, gradient.part(first, count), parameters.part(first, count),
                state.first.view_all().part(first, count), state.second.view_all().part(first, count));
}

/// One update of all parameters, with the workers in parallel; `norm` is the gradient's norm. Each entry is updated by
/// one worker, so the result doesn't depend on their number. Increments state.step.
template <class T, class B>
void update(B& b, adamw const& how, double learning_rate, double norm, nn::parameter_layout const& layout,
            in_vector<B, T> gradient, out_vector<B, T> parameters, adamw_state<B, T>& state) {
  ++state.step;
  adamw_update step{.learning_rate = learning_rate,
                    .beta1 = how.beta1,
                    .beta2 = how.beta2,
                    .epsilon = how.epsilon,
                    .step = state.step,
                    .gradient_scale = clipping_factor(how.clip_norm, norm)};
  for_each_worker(b, [&](B& worker, index_t number) {
    auto const range = [&](index_t first, index_t last, double decay) {
      index_t const share = (last - first + b.workers() - 1) / b.workers();
      index_t const begin = std::min(last, first + number * share), end = std::min(last, begin + share);
      adamw_update mine = step;
      mine.weight_decay = decay;
      update_range<T>(worker, mine, begin, end - begin, gradient, parameters, state);
    };
    range(0, layout.decayed(), how.weight_decay);
    range(layout.decayed(), layout.size(), 0);
  });
}

}  // namespace mql4grec::optim
