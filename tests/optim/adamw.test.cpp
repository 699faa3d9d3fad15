#include "mql4grec/optim/adamw.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// 40 entries with weight decay and 21 without.
nn::parameter_layout small_layout() {
  nn::parameter_layout layout;
  layout.add_matrix("weight", 8, 5);
  layout.end_of_decayed();
  layout.add_vector("gain", 21);
  return layout;
}

template <class B>
numbers after_three_updates(B& b) {
  auto const layout = small_layout();
  auto parameters = on(b, random_normal<float>(layout.size(), 1));
  optim::adamw_state<B, float> state(b, layout.size());
  for (std::uint64_t step = 1; step <= 3; ++step)
    optim::update<float>(b, {}, {0.1, 2.5}, layout,
                         {on(b, random_normal<float>(layout.size(), 1 + step)), parameters, state});
  CHECK(state.step == 3);
  return numbers_of(parameters);
}
}  // namespace

TEST_CASE_TEMPLATE("adamw: decays only the parameters before layout.decayed()", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const layout = small_layout();
  auto parameters = on(b, constant(layout.size(), 1.f));
  optim::adamw_state<B, float> state(b, layout.size());
  optim::update<float>(b, {.weight_decay = 0.5}, {0.1, 0}, layout,
                       {on(b, constant(layout.size(), 0.f)), parameters, state});
  for (index_t i = 0; i < layout.size(); ++i)
    CHECK_CLOSE(fetched(parameters)(i), i < layout.decayed() ? 0.95f : 1.f, 1e-6);
}

TEST_CASE("adamw: results don't depend on the number of workers") {
  cpu::backend one;
  auto const expected = after_three_updates(one);
  for (index_t workers : {2, 3, 7}) {
    cpu::backend several(workers);
    CHECK_CLOSE(after_three_updates(several), expected, 0);
  }
  reference::backend exact;
  CHECK_CLOSE(after_three_updates(exact), expected, 1e-5);
}

TEST_CASE_TEMPLATE("adamw: a gradient whose norm exceeds clip_norm is scaled to that norm", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const layout = small_layout();
  auto const step = [&](float length, double norm) {
    auto parameters = on(b, constant(layout.size(), 0.f));
    optim::adamw_state<B, float> state(b, layout.size());
    optim::update<float>(b, {.epsilon = 1}, {1, norm}, layout,
                         {on(b, constant(layout.size(), length)), parameters,
                          state});  // with this eps, the result depends on the gradient's norm
    return numbers_of(parameters);
  };
  CHECK_CLOSE(step(4, 8), step(0.5, 1), 1e-5);
  CHECK_CLOSE(step(0.5, 1), step(0.5, 0), 1e-5);
}

TEST_CASE(
    "adamw: a segment's factor multiplies its learning rate, and so its weight decay, for any number of workers") {
  auto const layout = small_layout();
  std::vector<optim::rate_segment> const rates = {{7, 0.5}, {50, 2}, {layout.size(), 0.25}};
  auto const updated = [&](double learning_rate, std::span<optim::rate_segment const> factors, index_t workers) {
    cpu::backend b(workers);
    auto parameters = on(b, random_normal<float>(layout.size(), 1));
    optim::adamw_state<cpu::backend, float> state(b, layout.size());
    for (std::uint64_t step = 1; step <= 3; ++step)
      optim::update<float>(b, {.weight_decay = 0.3}, {learning_rate, 2.5}, layout,
                           {on(b, random_normal<float>(layout.size(), 1 + step)), parameters, state, factors});
    return numbers_of(parameters);
  };
  auto const actual = updated(0.1, rates, 1);
  index_t first = 0;
  for (auto const& [last, factor] : rates) {
    auto const expected = updated(0.1 * factor, {}, 1);
    for (index_t i = first; i < last; ++i) CHECK_CLOSE(actual.values[to_size(i)], expected.values[to_size(i)], 1e-6);
    first = last;
  }
  for (index_t workers : {2, 5}) CHECK_CLOSE(updated(0.1, rates, workers), actual, 0);
  CHECK_CLOSE(updated(0.1, std::vector<optim::rate_segment>{{layout.size(), 1}}, 1), updated(0.1, {}, 1), 0);
}

TEST_CASE("clipping_factor: equals torch's, and is 1 when clip_norm isn't positive") {
  CHECK(clipping_factor(1, 0.5) == 1);
  CHECK_CLOSE(clipping_factor(3, 12), 3 / (12 + 1e-6), 1e-15);
  CHECK(clipping_factor(0, 12) == 1);
  CHECK(clipping_factor(1, 0) == 1);
}

static_assert(std::regular<optim::adamw>, "hyper-parameters are a value");
