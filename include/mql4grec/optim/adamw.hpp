#pragma once
// AdamW with clipping by the global norm. Hyper-parameters (`adamw`) are a value; run state (`adamw_state`) is
// separate.
#include <algorithm>
#include <span>
#include <type_traits>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/nn/parameters.hpp"

namespace mql4grec::optim {

/// The operations that the optimizer requires of a backend.
template <class B, class T>
concept OptimizerOps = Backend<B> && requires(B& b, adamw_update how, adamw_tensors<typename B::memory_space, T> on,
                                              in_vector<B, T> x, out_vector<B, T> y) {
  adamw_step<T>(b, how, on);
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
    raise<training_error>("step ", step, ": the loss is ", report.loss, " and the gradient's norm ", report.norm,
                          ", expected finite numbers; try a smaller learning rate");
}

/// Parameters whose learning rate is multiplied by a factor: those after the previous segment, up to `last`.
struct rate_segment {
  index_t last = 0;   ///< one more than the number of the last entry
  double factor = 1;  ///< of the learning rate, and so of the weight decay
  bool operator==(rate_segment const&) const = default;
};

/// Calls work(first, last, factor) for the parts of entries first … last − 1 with one factor each. No segments: one
/// part with factor 1.
template <class Work>
void for_each_rate(std::span<rate_segment const> rates, index_t first, index_t last, Work const& work) {
  if (rates.empty()) return work(first, last, 1.0);
  for (auto const& segment : rates) {
    if (segment.last <= first) continue;
    index_t const end = std::min(segment.last, last);
    if (end > first) work(first, end, segment.factor);
    first = std::max(first, end);
  }
}

/// The tensors of an update of all parameters, or of consecutive ones. They have the same size, for all parameters that
/// of the layout.
template <Backend B, class T>
struct update_operands {
  in_vector<B, T> gradient;     ///< of the mean loss; of the summed loss in a captured update
  out_vector<B, T> parameters;  ///< updated
  adamw_state<B, T>& state;     ///< updated
  /// Factors of the learning rate, in the order of the parameters, the last segment ends at their number; empty: 1.
  std::span<rate_segment const> rates = {};
  index_t first = 0;  ///< number of the tensors' first entry among all parameters; rates are by these numbers

  /// The tensors as the backend's operations read them.
  [[nodiscard]] adamw_tensors<typename B::memory_space, T> tensors() const {
    return {gradient, parameters, state.first.view_all(), state.second.view_all()};
  }
};

/// The values of an update that differ from step to step.
struct update_step {
  double learning_rate = 1e-3;  ///< of this update
  double norm = 0;              ///< the gradient's norm, for clipping
  bool hidden = true;           ///< whether hidden matrices are updated too; if not, another optimizer updates them
};

/// One update of the parameters of `on`, with the workers in parallel. Each entry is updated by one worker, so the
/// result doesn't depend on their number. Increments state.step.
template <class T, class B>
void update(B& b, adamw const& how, update_step const& step, nn::parameter_layout const& layout,
            std::type_identity_t<update_operands<B, T>> const& on) {
  static_assert(OptimizerOps<B, T>,
                "this backend has no adamw_step for this scalar; add it in backend/<name>/adamw.hpp");
  ++on.state.step;
  adamw_update const all{.learning_rate = step.learning_rate,
                         .beta1 = how.beta1,
                         .beta2 = how.beta2,
                         .epsilon = how.epsilon,
                         .step = on.state.step,
                         .gradient_scale = clipping_factor(how.clip_norm, step.norm)};
  for_each_worker(b, [&](B& worker, index_t number) {
    auto const range = [&](index_t from, index_t to, double decay) {
      index_t const own_end = on.first + on.gradient.size();
      for_each_rate(on.rates, std::clamp(from, on.first, own_end), std::clamp(to, on.first, own_end),
                    [&](index_t first, index_t last, double factor) {
                      index_t const share = (last - first + b.workers() - 1) / b.workers();
                      index_t const begin = std::min(last, first + number * share), end = std::min(last, begin + share);
                      adamw_update mine = all;
                      mine.learning_rate *= factor;
                      mine.weight_decay = decay;
                      adamw_step<T>(worker, mine, on.tensors().part(begin - on.first, end - begin));
                    });
    };
    index_t const skipped = step.hidden ? layout.decayed() : layout.hidden_begin();  // they end at decayed()
    range(0, skipped, how.weight_decay);
    range(layout.decayed(), layout.size(), 0);
  });
}

}  // namespace mql4grec::optim
