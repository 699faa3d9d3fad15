#pragma once
// Muon (K. Jordan et al., 2024): an update of a matrix along its momentum, made orthogonal by Newton–Schulz iterations,
// so that all singular directions move equally far. It serves the hidden matrices of a model; embeddings, biases and
// norm gains keep AdamW. The update is scaled to the size of AdamW's (J. Liu et al., "Muon is scalable for LLM
// training", 2025), so both share one learning rate.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/matmul.hpp"
#include "mql4grec/backend/contract/muon.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// The operations that Muon requires of a backend.
template <class B, class T>
concept MuonOps = OptimizerOps<B, T> && MemoryOps<B, T> &&
    requires(B& b, muon_update how, step_values<typename B::memory_space> step, matrix_group matrices,
             muon_tensors<typename B::memory_space, T> on, in_matrix<B, T> x, out_matrix<B, T> y) {
  muon_direction<T>(b, how, step, matrices, on);
  normalize_rows<T>(b, y);
  muon_step<T>(b, how, step, matrices, on);
  matmul<T>(b, x, x, y, product{.batch = 2});
  { B::products_at_once } -> std::convertible_to<index_t>;
};

/// Hyper-parameters of Muon; a value, without run state. The momentum is kept in adamw_state::first.
struct muon {
  double momentum = 0.95;  ///< decay rate of the running sum of gradients
  index_t iterations = 5;  ///< Newton–Schulz iterations, at least 1
  double scale = 0.2;      ///< root mean square of an update's entries, for a learning rate of 1

  bool operator==(muon const&) const = default;
};

/// Throws error for options out of range.
inline void validate(muon const& o) {
  expects(o.momentum >= 0 && o.momentum < 1, "muon: a momentum of ", o.momentum, ", expected 0 ≤ momentum < 1");
  expects(o.iterations >= 1, "muon: ", o.iterations, " iterations, expected at least 1");
  expects(o.scale > 0 && std::isfinite(o.scale), "muon: a scale of ", o.scale, ", expected more than 0");
}

/// Matrices, one below the other, with a factor that is still to be applied.
template <class B, class T>
struct scaled_matrix {
  out_matrix<B, T> values;  ///< in the worker's scratch, or the original
  double scale;             ///< factor of the values
};

/// Approximations of the nearest (semi-)orthogonal matrices to those of x, `count` of one shape, one below the other,
/// whose Frobenius norms are at most 1: their singular values become about 1 (.7 to 1.2 after five iterations). x is
/// overwritten. The result is valid until the innermost scratch scope ends.
template <class T, class B>
[[nodiscard]] scaled_matrix<B, T> orthogonalize(B& worker, index_t iterations, std::type_identity_t<out_matrix<B, T>> x,
                                                index_t count = 1) {
  // X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ; the coefficients converge fastest for small singular values (Jordan)
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  index_t const rows = x.rows() / count, side = std::min(rows, x.columns());
  bool const wide = rows <= x.columns();
  auto const gram = take<T>(worker, count * side, side), polynomial = take<T>(worker, count * side, side);
  scaled_matrix<B, T> now{x, 1}, next{take<T>(worker, x.rows(), x.columns()), 1};
  for (index_t i = 0; i < iterations; ++i) {
    in_matrix<B, T> const values = now.values;
    matmul<T>(worker, values, values, gram,
              {.transpose_a = !wide, .transpose_b = wide, .alpha = now.scale * now.scale, .batch = count});
    copy<T>(worker, in_vector<B, T>(gram.flat()), polynomial.flat());
    matmul<T>(worker, gram, gram, polynomial, {.accumulate = true, .alpha = c / b, .batch = count});  // A + c/b · A²
    copy<T>(worker, in_vector<B, T>(values.flat()), next.values.flat());
    product const rest{.accumulate = true, .alpha = b / a, .batch = count};
    if (wide)
      matmul<T>(worker, polynomial, values, next.values, rest);
    else
      matmul<T>(worker, values, polynomial, next.values, rest);
    next.scale = now.scale * a;
    std::swap(now, next);
  }
  return now;
}

/// The matrices in groups of one shape and of at most `most` (1 to matrix_group::capacity), in the order of their first
/// ones, with their factors of the learning rate.
inline std::vector<matrix_group> group_by_shape(std::span<nn::parameter const> matrices,
                                                std::span<rate_segment const> rates, index_t most) {
  std::vector<matrix_group> groups;
  for (auto const& p : matrices) {
    auto group = std::ranges::find_if(
        groups, [&](matrix_group const& g) { return g.rows == p.rows && g.columns == p.columns && g.count < most; });
    if (group == groups.end()) group = groups.insert(group, {.rows = p.rows, .columns = p.columns});
    double rate = 1;  // the whole matrix has one
    for_each_rate(rates, p.offset, p.offset + 1, [&](index_t, index_t, double factor) { rate = factor; });
    group->offsets[group->count] = p.offset;
    group->rates[group->count++] = rate;
  }
  return groups;
}

/// One update of the hidden matrices, which the workers share; each matrix is updated by one worker, so the result
/// doesn't depend on their number. The gradient is scaled by step.report's factor. Call it after the update of the
/// other parameters, which increments state.step.
template <class T, class B>
void update_hidden(B& b, muon const& how, double weight_decay, step_values<typename B::memory_space> const& step,
                   nn::parameter_layout const& layout, std::type_identity_t<update_operands<B, T>> const& on) {
  static_assert(MuonOps<B, T>, "this backend has no muon_step for this scalar; add it in backend/<name>/muon.hpp");
  auto const groups =
      group_by_shape(layout.hidden(), on.rates, std::min<index_t>(B::products_at_once, matrix_group::capacity));
  for_each_worker(b, [&](B& worker, index_t number) {
    for (index_t i = number; i < std::ssize(groups); i += b.workers()) {
      auto const& group = groups[to_size(i)];
      scratch_scope<B> const scope(worker.scratch());
      auto const directions = take<T>(worker, group.count, group.size());
      muon_tensors<typename B::memory_space, T> tensors{on.gradient, on.parameters, on.state.first.view_all(),
                                                        directions.flat()};
      muon_update constants{.momentum = how.momentum, .weight_decay = weight_decay};
      muon_direction<T>(worker, constants, step, group, tensors);
      normalize_rows<T>(worker, directions);
      auto const orthogonal = orthogonalize<T>(worker, how.iterations,
                                               {directions.data, group.count * group.rows, group.columns}, group.count);
      // an orthogonal matrix has a root mean square of 1 / √(longer side)
      constants.scale =
          how.scale * std::sqrt(static_cast<double>(std::max(group.rows, group.columns))) * orthogonal.scale;
      tensors.direction = orthogonal.values.flat();
      muon_step<T>(worker, constants, step, group, tensors);
    }
  });
}

/// The values of an update that the host knows.
struct host_step {
  step_inputs const& inputs;  ///< learning rate, targets and number of the update
  step_report const& report;  ///< loss, norm and clipping factor of the gradient
};

/// The same, with the values of the step on the host.
template <class T, class B>
void update_hidden(B& b, muon const& how, double weight_decay, host_step const& step,
                   nn::parameter_layout const& layout, std::type_identity_t<update_operands<B, T>> const& on) {
  scratch_scope<B> const scope(b.scratch());
  device_copy<step_inputs, B> const inputs(b, host_vector_view<step_inputs const>(&step.inputs, 1));
  device_copy<step_report, B> const report(b, host_vector_view<step_report const>(&step.report, 1));
  update_hidden<T>(b, how, weight_decay,
                   step_values<typename B::memory_space>{.inputs = inputs.view_all(), .report = report.view_all()},
                   layout, on);
}

/// The optimizers of a model: AdamW, and Muon for the hidden matrices, if it has a value.
struct optimizers {
  adamw const& all;  ///< updates what `hidden` doesn't; its weight decay and clipping are those of both
  std::optional<muon> const& hidden;  ///< updates the hidden matrices
};

/// One update of all parameters of `on` by the gradient of the mean loss; see update() and update_hidden(). With
/// `hidden`, the operands are those of all parameters. Increments state.step.
template <class T, class B>
void update_all(B& b, optimizers const& how, host_step const& step, nn::parameter_layout const& layout,
                std::type_identity_t<update_operands<B, T>> const& on) {
  update<T>(b, how.all, {.learning_rate = step.inputs.learning_rate, .norm = step.report.norm, .hidden = !how.hidden},
            layout, on);
  if (how.hidden) update_hidden<T>(b, *how.hidden, how.all.weight_decay, step, layout, on);
}

}  // namespace mql4grec::optim
