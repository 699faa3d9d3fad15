// The whole model's backward pass is the derivative of its forward pass, and every backend computes both alike.
#include "support/gradient.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr nn::dropout_plan no_dropout{}, with_dropout{.rate = 0.2, .seed = 5, .step = 3};

/// Of the gradient with respect to every parameter, by the complex step.
double worst_error(seq2seq::t5_config const& config, nn::dropout_plan const& plan) {
  reference::backend b;
  tasks::batch const all = small_batch();
  double const scale = 0.25;
  auto const model = random_t5<double>(b, config);
  loss_and_gradient<double, reference::backend> const claimed(b, model, all, whole(all), plan, scale);
  auto moved = random_t5<complex>(b, config);
  auto const loss = [&](vector<complex> const& parameters) {
    copy(view<complex const, host_space, 1>(parameters), moved.parameters());
    return scale * loss_of(b, moved, all, whole(all), plan);
  };
  auto const values = as_span(model.parameters());
  return gradient_error(loss, vector<double>(std::vector<double>(values.begin(), values.end())), claimed.gradient);
}
}  // namespace

TEST_CASE(
    "t5: the gradient is the derivative of the loss, for both activations, tied and untied, with and without dropout") {
  for (auto activation : {nn::activation::relu, nn::activation::gated_gelu})
    for (bool tied : {true, false})
      for (auto const& plan : {no_dropout, with_dropout}) {
        CAPTURE(tied);
        CAPTURE(plan.rate);
        CHECK(worst_error(small_t5(activation, tied), plan) < 1e-11);
      }
}

TEST_CASE("t5: the loss is the same with and without a gradient, whatever the scale") {
  reference::backend b;
  tasks::batch const all = small_batch();
  auto const model = random_t5<double>(b, small_t5());
  for (auto const& plan : {no_dropout, with_dropout}) {
    loss_and_gradient<double, reference::backend> const both(b, model, all, whole(all), plan, 0.25);
    CHECK_CLOSE(both.loss, loss_of(b, model, all, whole(all), plan), 1e-14);
  }
}

TEST_CASE_TEMPLATE("t5: loss, gradient and logits equal the reference's in double, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using B = typename S::backend;
  using T = typename S::scalar;
  constexpr double allowed = 10 * tolerance<B, T>;  // two dozen products deep
  B fast;
  reference::backend exact;
  index_t const inputs[] = {1, 17, 33, 5}, targets[] = {5, 1, 2, 16};
  tasks::batch const all = batch_of(inputs, targets, 50);
  for (auto activation : {nn::activation::relu, nn::activation::gated_gelu})
    for (auto const& plan : {no_dropout, with_dropout}) {
      seq2seq::t5_config const config{.vocabulary = 50,
                                      .model_width = 24,
                                      .head_width = 16,
                                      .heads = 3,
                                      .inner_width = 130,
                                      .encoder_layers = 2,
                                      .decoder_layers = 2,
                                      .activation = activation,
                                      .tied = activation == nn::activation::relu};
      auto const model = random_t5<T>(fast, config);
      auto const expected_model = random_t5<double>(exact, config);
      loss_and_gradient<double, reference::backend> const expected(exact, expected_model, all, whole(all), plan);
      auto logits = poisoned<T>(fast, {24, 50});
      auto expected_logits = poisoned<double>(exact, {24, 50});
      seq2seq::t5_pass(exact, expected_model).logits(all, whole(all), expected_logits);
      for_each_instruction_set([&] {
        loss_and_gradient<T, B> const actual(fast, model, all, whole(all), plan);
        CHECK_CLOSE(actual.loss, expected.loss, allowed);
        CHECK_CLOSE(actual.gradient, expected.gradient, allowed);
        seq2seq::t5_pass(fast, model).logits(all, whole(all), logits);
        CHECK_CLOSE(logits, expected_logits, allowed);
      });
    }
}
