// Shapes are checked once, in nn: a mismatch throws, and the message contains the actual and the expected shape.
#include "support/backends.hpp"
#include "support/tensors.hpp"

#include "mql4grec/nn/activation.hpp"
#include "mql4grec/nn/attention.hpp"
#include "mql4grec/nn/cross_entropy.hpp"
#include "mql4grec/nn/embedding.hpp"
#include "mql4grec/nn/layer_norm.hpp"
#include "mql4grec/nn/linear.hpp"
#include "mql4grec/nn/mean_pool.hpp"
#include "mql4grec/nn/patches.hpp"
#include "mql4grec/nn/rms_norm.hpp"
#include "mql4grec/nn/rotary.hpp"

#include <doctest/doctest.h>

using namespace mql4grec;
using namespace mql4grec::test;

#define CHECK_REFUSED(message, ...) CHECK_THROWS_WITH_AS(__VA_ARGS__, message, error)

TEST_CASE_TEMPLATE("rms_norm: tensors that don't fit x are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const x = poisoned<float>(b, {2, 3}), wide = poisoned<float>(b, {2, 4});
  auto const three = poisoned<float>(b, 3), two = poisoned<float>(b, 2);
  auto y = poisoned<float>(b, {2, 3}), tall = poisoned<float>(b, {5, 3});
  auto inv_rms = poisoned<float>(b, 2), long_one = poisoned<float>(b, 7), dgain = poisoned<float>(b, 3);
  CHECK_REFUSED("rms_norm: x has 3 columns but gain has 2 entries", nn::rms_norm<float>(b, {x, two}, 1e-6, y, inv_rms));
  CHECK_REFUSED("rms_norm: x has 2 rows but inv_rms has 7 entries",
                nn::rms_norm<float>(b, {x, three}, 1e-6, y, long_one));
  CHECK_REFUSED("rms_norm: y is 5 × 3, expected 2 × 3", nn::rms_norm<float>(b, {x, three}, 1e-6, tall, inv_rms));
  CHECK_REFUSED("rms_norm: dy is 2 × 4, expected 2 × 3",
                nn::rms_norm_gradient<float>(b, {x, three}, two, wide, {y, dgain}));
  CHECK_REFUSED("rms_norm: dx is 5 × 3, expected 2 × 3",
                nn::rms_norm_gradient<float>(b, {x, three}, two, x, {tall, dgain}));
  CHECK_REFUSED("rms_norm: x has 3 columns but gain has 3 entries and dgain 7",
                nn::rms_norm_gradient<float>(b, {x, three}, two, x, {y, long_one}));
  CHECK_REFUSED("rms_norm: x has 2 rows but inv_rms has 3 entries",
                nn::rms_norm_gradient<float>(b, {x, three}, three, x, {y, dgain}));
}

TEST_CASE_TEMPLATE("linear: tensors that don't fit are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const x = poisoned<float>(b, {2, 3}), weight = poisoned<float>(b, {4, 3}), other = poisoned<float>(b, {4, 5});
  auto y = poisoned<float>(b, {2, 4}), wrong = poisoned<float>(b, {2, 9});
  CHECK_REFUSED("linear: x has 3 columns but the weight takes 5", nn::linear<float>(b, x, other, y));
  CHECK_REFUSED("linear: y is 2 × 9, expected 2 × 4", nn::linear<float>(b, x, weight, wrong));
  CHECK_REFUSED("linear: dy has 9 columns but the weight gives 4",
                nn::linear_input_gradient<float>(b, wrong, weight, y));
  CHECK_REFUSED("linear: dx is 2 × 9, expected 2 × 3", nn::linear_input_gradient<float>(b, y, weight, wrong));
  CHECK_REFUSED("linear: x has 4 rows but dy has 2", nn::linear_weight_gradient<float>(b, other, y, wrong));
  CHECK_REFUSED("linear: dweight is 2 × 9, expected 4 × 3", nn::linear_weight_gradient<float>(b, x, y, wrong));
}

TEST_CASE_TEMPLATE("embedding: tensors that don't fit are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto table = poisoned<float>(b, {10, 3}), y = poisoned<float>(b, {2, 4});
  auto const tokens = on(b, constant(2, token_t{1}));
  CHECK_REFUSED("embedding: y is 2 × 4, expected 2 × 3", nn::embedding<float>(b, table, tokens, y));
  CHECK_REFUSED("embedding: dy is 2 × 4, expected 2 × 3", nn::embedding_gradient<float>(b, tokens, y, table));
}

TEST_CASE_TEMPLATE("cross_entropy: tensors that don't fit are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto logits = poisoned<float>(b, {2, 5});
  auto losses = poisoned<float>(b, 2), three_losses = poisoned<float>(b, 3);
  auto const two = on(b, constant(2, token_t{1})), three = on(b, constant(3, token_t{1}));
  CHECK_REFUSED("cross_entropy: 2 rows of logits for 3 targets", nn::cross_entropy<float>(b, logits, three, losses));
  CHECK_REFUSED("cross_entropy: 2 rows of logits for 3 targets",
                nn::cross_entropy_gradient<float>(b, three, 1, logits, losses));
  CHECK_REFUSED("cross_entropy: 3 losses for 2 targets", nn::cross_entropy<float>(b, logits, two, three_losses));
}

TEST_CASE_TEMPLATE("attention: tensors that don't fit are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  using inputs = attention_inputs<typename B::memory_space, float>;
  auto q = poisoned<float>(b, {2, 4}), k = poisoned<float>(b, {3, 4}), narrow = poisoned<float>(b, {3, 2}),
       bias = poisoned<float>(b, {3, 5});
  auto const one = on(b, vector<index_t>{0, 2}), keys = on(b, vector<index_t>{0, 3}),
             two = on(b, vector<index_t>{0, 1, 2});
  auto weights = poisoned<float>(b, 12), few = poisoned<float>(b, 3);
  auto const attend = [&](inputs const& in, auto& room, auto& context) { nn::attention<float>(b, in, room, context); };
  inputs const right{.q = q, .k = k, .v = k, .query_offsets = one, .key_offsets = keys, .heads = 2};
  auto changed = right;

  CHECK_REFUSED("attention: context is 3 × 2, expected 2 × 4", attend(right, weights, narrow));
  CHECK_REFUSED("attention: a place for 3 weights, expected at least 4", attend(right, few, q));
  changed.query_offsets = two;
  CHECK_REFUSED("attention: 2 sequences of queries but 1 of keys", attend(changed, weights, q));
  changed = right, changed.v = narrow;
  CHECK_REFUSED("attention: q, k, v are 4, 4, 2 wide for 2 heads", attend(changed, weights, q));
  changed = right, changed.v = q;
  CHECK_REFUSED("attention: 3 keys but 2 values", attend(changed, weights, q));
  changed = right, changed.heads = 3;
  CHECK_REFUSED("attention: q, k, v are 4, 4, 4 wide for 3 heads", attend(changed, weights, q));
  changed = right, changed.bias = bias;
  CHECK_REFUSED("attention: the bias has 3 rows for 2 heads", attend(changed, weights, q));
  changed = right, changed.group = 2;
  CHECK_REFUSED("attention: q, k, v are 4, 4, 4 wide for 2 heads that share keys", attend(changed, weights, q));
  changed = right, changed.group = 3;
  CHECK_REFUSED("attention: 2 heads in groups of 3", attend(changed, weights, q));
  changed = right, changed.heads = 0;
  CHECK_REFUSED("attention: 0 heads in groups of 1", attend(changed, weights, q));
  changed = right, changed.scale = 0.5;
  CHECK_REFUSED("attention: there is no gradient for heads in groups of 1 and scores scaled by 0.5",
                nn::attention_gradient<float>(b, changed, weights, q, {.dq = q, .dk = k, .dv = k}));
  CHECK_REFUSED("attention: dk is 2 × 4, expected 3 × 4",
                nn::attention_gradient<float>(b, right, weights, q, {.dq = q, .dk = q, .dv = k}));
}

TEST_CASE_TEMPLATE("layer_norm: tensors that don't fit x are refused with both numbers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const x = on(b, constant({2, 3}, 1.f));
  auto const three = on(b, constant(3, 1.f)), two = on(b, constant(2, 1.f));
  auto y = poisoned<float>(b, {2, 3}), tall = poisoned<float>(b, {5, 3});
  CHECK_REFUSED("layer_norm: x has 3 columns but gain has 2 entries and bias 3",
                nn::layer_norm<float>(b, {x, two, three}, 1e-5, y));
  CHECK_REFUSED("layer_norm: x has 3 columns but gain has 3 entries and bias 2",
                nn::layer_norm<float>(b, {x, three, two}, 1e-5, y));
  CHECK_REFUSED("layer_norm: y is 5 × 3, expected 2 × 3", nn::layer_norm<float>(b, {x, three, three}, 1e-5, tall));
  nn::layer_norm<float>(b, {x, three, three}, 1e-5, y);
}

TEST_CASE_TEMPLATE("operations of encoders: tensors that don't fit are refused with both numbers", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const gates = poisoned<float>(b, {2, 6}), angles = poisoned<float>(b, {4, 2}), more = poisoned<float>(b, {5, 2});
  auto h = poisoned<float>(b, {2, 4});
  auto const positions = on(b, vector<index_t>{0, 1, 2}), none = on(b, vector<index_t>{});
  CHECK_REFUSED("swiglu: gates are 2 × 6, expected 2 × 8", nn::swiglu<float>(b, gates, h));
  CHECK_REFUSED("rotary: the cosines are 4 × 2 but the sines 5 × 2",
                nn::rotary<float>(b, {angles, more}, positions, h));
  CHECK_REFUSED("rotary: x has 2 rows but there are 3 positions", nn::rotary<float>(b, {angles, angles}, positions, h));
  auto wide = poisoned<float>(b, {3, 6});
  CHECK_REFUSED("rotary: x has 6 columns for heads of 4", nn::rotary<float>(b, {angles, angles}, positions, wide));
  CHECK_REFUSED("mean_pool: y is 2 × 4, expected 2 × 6", nn::mean_of_sequences<float>(b, wide, positions, h));
  CHECK_REFUSED("mean_pool: there are no offsets, expected at least one",
                nn::mean_of_sequences<float>(b, wide, none, h));
  patch_grid const grid{.channels = 1, .height = 2, .width = 3, .patch = 2, .leading_rows = 1};
  auto rows = poisoned<float>(b, {4, 4});
  CHECK_REFUSED("patches: no patch of 4 × 4 in an image of 1 × 2 × 3",
                nn::patches<float>(b, {.channels = 1, .height = 2, .width = 3, .patch = 4}, gates, rows));
  CHECK_REFUSED("patches: an image has 4 entries, expected 1 × 2 × 3", nn::patches<float>(b, grid, h, rows));
  CHECK_REFUSED("patches: the result is 2 × 4, expected 4 × 4", nn::patches<float>(b, grid, gates, h));
  nn::patches<float>(b, grid, on(b, constant({2, 6}, 1.f)), rows);
}
