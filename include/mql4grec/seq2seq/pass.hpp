#pragma once
// The forward and backward passes of one worker through a T5. Views that a pass returns lie in the worker's scratch and
// are valid until its scope ends.
#include "mql4grec/seq2seq/stack.hpp"

namespace mql4grec::seq2seq {

/// One worker's forward and backward passes through a model, one micro-batch at a time. The object keeps the
/// bookkeeping of the activations, so nothing is allocated from the second pass of a size on. Not thread-safe: one
/// object per worker. Losses are Σ −log p(target token) in nats.
template <Backend B, class T>
class t5_pass {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Worker and model must outlive the object; the model's parameters may change between passes.
  t5_pass(B& worker, t5<B, T> const& model) : worker_(worker), model_(model) {}

  /// Writes `out` (target tokens of the micro-batch, V): the logits with teacher forcing, without dropout.
  void logits(tasks::batch const& all, tasks::micro_batch part, out_matrix<B, T> out) {
    scratch_scope<B> const scope(worker_.scratch());
    forward(detail::take_block(worker_, all, part, model_.config()), {}, out);
  }

  /// Returns the loss of the micro-batch; without dropout unless `plan` has a rate.
  T loss(tasks::batch const& all, tasks::micro_batch part, nn::dropout_plan const& plan = {}) {
    scratch_scope<B> const scope(worker_.scratch());
    return static_cast<T>(sum<T>(worker_, take_losses(detail::take_block(worker_, all, part, model_.config()), plan)));
  }

  /// Returns the loss of the micro-batch, and adds its gradient to `gradient`.
  T loss_and_gradient(tasks::batch const& all, tasks::micro_batch part, nn::dropout_plan const& plan,
                      gradient_target<T, space> const& gradient) {
    scratch_scope<B> const scope(worker_.scratch());
    auto const block = detail::take_block(worker_, all, part, model_.config());
    return static_cast<T>(sum<T>(worker_, take_losses_and_gradient(block, plan, gradient)));
  }

  /// Returns the loss of each target row (rows), in the scratch.
  [[nodiscard]] out_vector<B, T> take_losses(detail::token_block<B> const& block, nn::dropout_plan const& plan) {
    auto const scores = take<T>(worker_, block.target_rows.rows, model_.config().vocabulary);
    auto const losses = take<T>(worker_, block.target_rows.rows);
    forward(block, plan, scores);
    nn::cross_entropy<T>(worker_, scores, block.targets, losses);
    return losses;
  }
  /// Returns the loss of each target row (rows), in the scratch, and adds the gradient of their sum to `gradient`.
  out_vector<B, T> take_losses_and_gradient(detail::token_block<B> const& block, nn::dropout_plan const& plan,
                                            gradient_target<T, space> const& gradient) {
    auto const scores = take<T>(worker_, block.target_rows.rows, model_.config().vocabulary);
    auto const losses = take<T>(worker_, block.target_rows.rows);
    forward(block, plan, scores);
    nn::cross_entropy_gradient<T>(worker_, block.targets, gradient.scale, scores, losses);
    backward(plan, scores, gradient);
    return losses;
  }
  /// The addresses of the distance buckets of encoder and decoder for these lengths. Captured work reads them there, so
  /// a graph is valid only as long as the addresses stay the same.
  std::pair<index_t const*, index_t const*> buckets_of(index_t longest_input, index_t longest_target) {
    auto const& c = model_.config();
    return {encoder_.buckets.of(worker_, c, longest_input).data, decoder_.buckets.of(worker_, c, longest_target).data};
  }

 private:
  detail::model_pass<B, T> pass_with(nn::dropout_plan const& plan) {
    return {.backend = worker_, .config = model_.config(), .weights = model_.weights(), .dropout = plan};
  }

  /// Writes the logits `scores` (target rows, V), and the tapes.
  void forward(detail::token_block<B> const& block, nn::dropout_plan const& plan, out_matrix<B, T> scores) {
    auto const pass = pass_with(plan);
    auto const& [worker, c, w, dropout] = pass;
    detail::encoder_forward(pass, block.inputs, block.input_rows, encoder_);
    auto const key_value = take<T>(worker, block.input_rows.rows, w.cross_key_value.rows());
    nn::linear<T>(worker, encoder_.end.normed, w.cross_key_value, key_value);
    detail::decoder_forward<B, T>(pass, block, key_value, decoder_);
    nn::linear<T>(worker, decoder_.end.normed, w.output, scores, c.output_scale());
  }

  /// The gradient of the pass whose forward() came last, with the same plan.
  void backward(nn::dropout_plan const& plan, in_matrix<B, T> dscores, gradient_target<T, space> const& gradient) {
    auto const& g = gradient.sum;
    auto const pass = pass_with(plan);
    auto const& [worker, c, w, dropout] = pass;
    auto const dhidden = take<T>(worker, decoder_.rows.rows, c.model_width);
    auto const dkey_value = take<T>(worker, encoder_.rows.rows, w.cross_key_value.rows());
    auto const dencoded = take<T>(worker, encoder_.rows.rows, c.model_width);
    nn::linear_weight_gradient<T>(worker, decoder_.end.normed, dscores, g.output, c.output_scale());
    nn::linear_input_gradient<T>(worker, dscores, w.output, dhidden, c.output_scale());
    detail::decoder_backward<B, T>(pass, decoder_, dhidden, dkey_value, gradient);
    nn::linear_weight_gradient<T>(worker, encoder_.end.normed, dkey_value, g.cross_key_value);
    gradient.report(g.cross_key_value);
    nn::linear_input_gradient<T>(worker, dkey_value, w.cross_key_value, dencoded);
    detail::encoder_backward<B, T>(pass, encoder_, dencoded, gradient);
  }

  B& worker_;
  t5<B, T> const& model_;
  detail::encoder_tape<B, T> encoder_;
  detail::decoder_tape<B, T> decoder_;
};

}  // namespace mql4grec::seq2seq
