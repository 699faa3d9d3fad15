#pragma once
// An optimizer update that a backend can capture. Its inputs and its report are in the backend's memory: the host
// uploads the inputs before the captured work is launched, and downloads the report afterwards.
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/nn/parameters.hpp"
#include "mql4grec/optim/muon.hpp"

namespace mql4grec::train {

/// The operations that a captured update requires of a backend.
template <class B, class T>
concept CapturedUpdateOps = Backend<B> &&
    requires(B& b, captured_adamw_options options, captured_step_memory<typename B::memory_space> memory,
             adamw_tensors<typename B::memory_space, T> on, in_vector<B, T> x, in_vector<B, double> losses,
             out_vector<B, double> sums) {
  sum_into<T>(b, x, sums);
  sum_of_squares_into<T>(b, x, sums);
  accumulate<double>(b, losses, sums);
  captured_adamw_step<T>(b, options, memory, on);
};

/// The memory of captured updates: the inputs that change from step to step, the loss, and the report.
///
///     host      upload_inputs ─────────────────────────────► download_report
///     backend               └► gradient, loss() ─► update ─┘     (captured once, launched every step)
///
/// Preconditions; breaking them gives wrong results without an error:
/// 1. upload_inputs is called before each launch.
/// 2. The captured work writes loss() before update().
/// 3. The object outlives all graphs that were captured with it.
template <Backend B>
class captured_update {
 public:
  /// Allocates the inputs, the loss and the report.
  explicit captured_update(B& b)
      : inputs_(b.template allocate<step_inputs>(1)),
        report_(b.template allocate<step_report>(1)),
        loss_(b.template allocate<double>(1)) {}

  /// Uploads the learning rate, the number of target tokens and the number of the update. Call it before the captured
  /// work is launched.
  void upload_inputs(B& b, step_inputs const& inputs) {
    upload<step_inputs>(b, host_vector_view<step_inputs const>(&inputs, 1), inputs_.view_all());
  }
  /// The address from which captured work reads the number of the update, e.g. for dropout.
  std::int64_t const* step_place() const { return &inputs_.view_all().data->step; }
  /// (1) the place to which captured work writes the sum of the losses.
  out_vector<B, double> loss() { return loss_.view_all(); }
  /// One update of all parameters, of the hidden matrices by `hidden` if there is one, of the others by AdamW.
  /// on.gradient is the sum over inputs.tokens tokens; it is clipped as a mean. See captured_adamw_step.
  template <class T>
  void update(B& b, optim::adamw const& how, std::optional<optim::muon> const& hidden,
              nn::parameter_layout const& layout, std::type_identity_t<optim::update_operands<B, T>> const& on) {
    auto const inputs = std::as_const(inputs_).view_all();
    captured_adamw_step<T>(
        b,
        {.constants =
             {.beta1 = how.beta1, .beta2 = how.beta2, .epsilon = how.epsilon, .weight_decay = how.weight_decay},
         .clip_norm = how.clip_norm,
         .decayed = layout.decayed(),
         .skipped_first = hidden ? layout.hidden_begin() : 0,
         .skipped_last = hidden ? layout.decayed() : 0},
        {.inputs = inputs, .losses = std::as_const(loss_).view_all(), .report = report_.view_all()}, on.tensors());
    if (hidden)
      optim::update_hidden<T>(b, *hidden, how.weight_decay,
                              {.inputs = inputs, .report = std::as_const(report_).view_all()}, layout, on);
  }
  /// (1) the report, which captured work reads after update().
  view<step_report const, typename B::memory_space, 1> report() const { return report_.view_all(); }
  /// Waits for the captured work and returns the mean loss per token and the gradient's norm.
  [[nodiscard]] step_report download_report(B& b) const {
    return host_copy<step_report, typename B::memory_space>(b, report_.view_all()).view_all()(0);
  }

 private:
  buffer<step_inputs, typename B::memory_space> inputs_;  // (1)
  buffer<step_report, typename B::memory_space> report_;  // (1)
  buffer<double, typename B::memory_space> loss_;         // (1)
};

}  // namespace mql4grec::train
