#pragma once
// T5s small enough for numerical differentiation, and batches for them.
#include "mql4grec/seq2seq/frozen_t5.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/pass.hpp"
#include "support/tensors.hpp"

namespace mql4grec::test {

/// Two layers a stack; no two widths are equal.
inline seq2seq::t5_config small_t5(nn::activation activation = nn::activation::relu, bool tied = true) {
  return {.vocabulary = 9,
          .model_width = 4,
          .head_width = 3,
          .heads = 2,
          .inner_width = 5,
          .encoder_layers = 2,
          .decoder_layers = 2,
          .buckets = 4,
          .max_distance = 5,
          .activation = activation,
          .tied = tied};
}

/// The same, wide enough to learn something.
inline seq2seq::t5_config tiny_t5() {
  auto config = small_t5();
  config.model_width = 8;
  return config;
}

/// A sequence a length: inputs and targets of so many tokens, their </s> among them.
inline tasks::batch batch_of(std::span<index_t const> input_lengths, std::span<index_t const> target_lengths,
                             index_t vocabulary, std::uint64_t seed = 1) {
  tasks::batch all;
  for (std::size_t s = 0; s < input_lengths.size(); ++s)
    all.append(random_tokens(input_lengths[s] - 1, vocabulary, seed + 2 * s).values,
               random_tokens(target_lengths[s] - 1, vocabulary, seed + 2 * s + 1).values);
  return all;
}
inline tasks::batch small_batch() {
  index_t const inputs[] = {3, 1, 6}, targets[] = {2, 4, 1};
  return batch_of(inputs, targets, 9);
}

/// Every parameter is random, the norm gains too; for another scalar the same numbers, rounded.
template <class T, Backend B>
seq2seq::t5<B, T> random_t5(B& b, seq2seq::t5_config const& config, std::uint64_t seed = 7) {
  reference::backend host;
  seq2seq::t5<reference::backend, double> drawn(host, config);
  seq2seq::initialize(drawn, seed);
  seq2seq::t5<B, T> model(b, config);
  random_stream random(seed, 0);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : model.layout().entries())
      for (index_t i = p.offset; i < p.offset + p.size(); ++i)
        values(i) = mql4grec::constant<T>(drawn.parameters()(i) + (p.is_vector ? 0.2 * random.normal() : 0));
  });
  return model;
}

template <class T, Backend B>
seq2seq::frozen_t5<B, T> random_frozen_t5(B& b, seq2seq::t5_config const& config, std::uint64_t seed = 7) {
  return {b, random_t5<T>(b, config, seed)};
}

/// The loss of a range and its gradient, laid out as the parameters.
template <class T, Backend B>
struct loss_and_gradient {
  T loss{};
  tensor_on<T, B, 1> gradient;

  loss_and_gradient(B& b, seq2seq::t5<B, T> const& model, tasks::batch const& all, tasks::micro_batch part,
                    nn::dropout_plan const& plan = {}, double scale = 1)
      : gradient(b, {model.layout().size(), 1}, 0, T{}) {
    auto const views = seq2seq::t5_windows(model.config(), model.layout(), *gradient);
    loss = seq2seq::t5_pass(b, model).loss_and_gradient(all, part, plan, {.sum = views, .scale = scale});
  }
};

inline tasks::micro_batch whole(tasks::batch const& all) { return {0, all.size()}; }

template <class T, Backend B>
T loss_of(B& b, seq2seq::t5<B, T> const& model, tasks::batch const& all, tasks::micro_batch part,
          nn::dropout_plan const& plan = {}) {
  return seq2seq::t5_pass(b, model).loss(all, part, plan);
}

}  // namespace mql4grec::test
