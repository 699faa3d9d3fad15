#include "mql4grec/optim/muon.hpp"

#include <Eigen/Dense>

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A (rows, columns) matrix of norm 1.
dense random_matrix(index_t rows, index_t columns) {
  auto const values = random_normal<double>(rows * columns, 5);
  dense x = Eigen::Map<dense const>(values.values.data(), rows, columns);
  return x / x.norm();
}

/// orthogonalize by its definition: X ← aX + b(XXᵀ)X + c(XXᵀ)²X
dense expected_iterations(dense x, int iterations) {
  for (int i = 0; i < iterations; ++i) {
    dense const gram = x * x.transpose();
    x = (3.4445 * x - 4.7750 * gram * x + 2.0315 * gram * gram * x).eval();
  }
  return x;
}

/// An embedding (3, 4), hidden matrices (6, 4) and (2, 5), a gain (3).
nn::parameter_layout hidden_layout() {
  nn::parameter_layout layout;
  layout.add_matrix("embedding", 3, 4);
  layout.begin_of_hidden();
  layout.add_matrix("tall", 6, 4);
  layout.add_matrix("wide", 2, 5);
  layout.end_of_decayed();
  layout.add_vector("gain", 3);
  return layout;
}

/// Parameters after three updates of the host's form.
template <class B>
numbers after_updates(B& b, optim::muon const& how, double learning_rate = 0.1,
                      std::span<optim::rate_segment const> rates = {}) {
  auto const layout = hidden_layout();
  auto parameters = on(b, random_normal<double>(layout.size(), 1));
  optim::adamw_state<B, double> state(b, layout.size());
  for (int step = 1; step <= 3; ++step) {
    auto const gradient = on(b, random_normal<double>(layout.size(), 10 + static_cast<std::uint64_t>(step)));
    optim::adamw const others{.weight_decay = 0.1};
    std::optional const hidden = how;
    step_inputs const inputs{.learning_rate = learning_rate};
    step_report const report{.loss = 1, .norm = 2, .gradient_scale = clipping_factor(1, 2)};
    optim::update_all<double>(b, {others, hidden}, {inputs, report}, layout, {gradient, parameters, state, rates});
  }
  return numbers_of(parameters);
}
}  // namespace

TEST_CASE_TEMPLATE("orthogonalize: equals its definition, for wide, tall and square matrices", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for (auto const& [rows, columns] : {std::pair{3, 7}, {7, 3}, {5, 5}, {1, 4}, {4, 1}}) {
    auto const expected = expected_iterations(random_matrix(rows, columns), 5);
    auto const start = random_matrix(rows, columns);
    auto x = on(b, vector<double>(std::vector<double>(start.data(), start.data() + start.size())));
    scratch_scope<B> const scope(b.scratch());
    auto const result = optim::orthogonalize<double>(b, 5, out_matrix<B, double>{(*x).data, rows, columns});
    auto const values = numbers_of(result.values.flat()).values;
    for (index_t i = 0; i < rows * columns; ++i)
      CHECK(std::abs(values[static_cast<std::size_t>(i)] * result.scale - expected.data()[i]) < 1e-9);
    Eigen::VectorXd const singular = expected.jacobiSvd().singularValues();
    CHECK(singular.minCoeff() > 0.6);
    CHECK(singular.maxCoeff() < 1.3);
  }
}

TEST_CASE_TEMPLATE("orthogonalize: treats the matrices of a stack as each alone", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (auto const& [rows, columns] : {std::pair{3, 7}, {7, 3}}) {
    index_t const size = rows * columns;
    std::vector<double> stack;
    for (double const factor : {1., 0.5, 0.1}) {
      dense const one = factor * random_matrix(rows, columns);
      stack.insert(stack.end(), one.data(), one.data() + size);
    }
    auto x = on(b, vector<double>(stack));
    scratch_scope<B> const scope(b.scratch());
    auto const result = optim::orthogonalize<double>(b, 5, out_matrix<B, double>{(*x).data, 3 * rows, columns}, 3);
    auto const values = numbers_of(result.values.flat()).values;
    for (index_t m = 0; m < 3; ++m) {
      dense const expected = expected_iterations(Eigen::Map<dense const>(stack.data() + m * size, rows, columns), 5);
      for (index_t i = 0; i < size; ++i)
        CHECK(std::abs(values[to_size(m * size + i)] * result.scale - expected.data()[i]) < 1e-9);
    }
  }
}

TEST_CASE("muon: matrices are grouped by shape, in the order of the first ones, with their rates") {
  nn::parameter_layout layout;
  layout.begin_of_hidden();
  for (int layer = 0; layer < 2; ++layer)
    for (auto const& [rows, columns] : {std::pair{4, 2}, {4, 2}, {2, 4}}) layout.add_matrix("m", rows, columns);
  layout.end_of_decayed();
  std::vector<optim::rate_segment> const rates = {{24, 0.5}, {layout.size(), 2}};
  auto const groups = optim::group_by_shape(layout.hidden(), rates, 3);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].rows == 4);
  CHECK(groups[0].count == 3);
  CHECK(std::vector(groups[0].offsets, groups[0].offsets + 3) == std::vector<index_t>{0, 8, 24});
  CHECK(std::vector(groups[0].rates, groups[0].rates + 3) == std::vector<double>{0.5, 0.5, 2});
  CHECK(groups[1].rows == 2);
  CHECK(std::vector(groups[1].offsets, groups[1].offsets + 2) == std::vector<index_t>{16, 40});
  CHECK(groups[2].count == 1);  // three are the most
  CHECK(groups[2].offsets[0] == 32);
}

TEST_CASE_TEMPLATE("muon: AdamW updates the other parameters, and hidden matrices move by orthogonal steps", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const layout = hidden_layout();
  auto const actual = after_updates(b, {});
  reference::backend exact;
  auto expected = on(exact, random_normal<double>(layout.size(), 1));
  optim::adamw_state<reference::backend, double> state(exact, layout.size());
  std::vector<dense> momenta(2);
  for (int step = 1; step <= 3; ++step) {
    auto const gradient = on(exact, random_normal<double>(layout.size(), 10 + static_cast<std::uint64_t>(step)));
    auto const before = numbers_of(expected).values;
    optim::update<double>(exact, {.weight_decay = 0.1}, {.learning_rate = 0.1, .norm = 2}, layout,
                          {gradient, expected, state});
    for (std::size_t m = 0; m < 2; ++m) {
      auto const& p = layout.hidden()[m];
      dense const g = 0.5 / (1 + 5e-7) * Eigen::Map<dense const>((*gradient).data + p.offset, p.rows, p.columns);
      momenta[m] = step == 1 ? g : dense(0.95 * momenta[m] + g);
      dense direction = g + 0.95 * momenta[m];
      direction = expected_iterations(direction / direction.norm(), 5);
      Eigen::Map<dense const> const old(before.data() + p.offset, p.rows, p.columns);
      double const size = 0.2 * std::sqrt(static_cast<double>(std::max(p.rows, p.columns)));
      Eigen::Map<dense>((*expected).data + p.offset, p.rows, p.columns) = 0.99 * old - 0.1 * size * direction;
    }
  }
  for (auto const& p : layout.entries())  // not the padding between them, which only AdamW changes
    for (index_t i = p.offset; i < p.offset + p.size(); ++i)
      CHECK_CLOSE(actual.values[to_size(i)], fetched(expected)(i), 1e-8);
}

TEST_CASE_TEMPLATE("muon: a segment's factor multiplies the learning rate of its matrices", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const layout = hidden_layout();
  auto const& matrices = layout.hidden();
  std::vector<optim::rate_segment> const rates = {{matrices[1].offset, 0.5}, {layout.size(), 2}};
  auto const actual = after_updates(b, {}, 0.1, rates), slow = after_updates(b, {}, 0.05),
             fast = after_updates(b, {}, 0.2);
  for (auto const& p : layout.entries())
    for (index_t i = p.offset; i < p.offset + p.size(); ++i)
      CHECK_CLOSE(actual.values[to_size(i)], (i < rates[0].last ? slow : fast).values[to_size(i)], 1e-12);
}

TEST_CASE("muon: results don't depend on the number of workers") {
  cpu::backend one;
  auto const expected = after_updates(one, {.iterations = 3});
  for (index_t workers : {2, 3, 7}) {
    cpu::backend several(workers);
    CHECK_CLOSE(after_updates(several, {.iterations = 3}), expected, 0);
  }
}

TEST_CASE("muon: options out of range are errors") {
  CHECK_THROWS_WITH_AS(optim::validate(optim::muon{.momentum = 1}), "muon: a momentum of 1, expected 0 ≤ momentum < 1",
                       error);
  CHECK_THROWS_AS(optim::validate(optim::muon{.iterations = 0}), error);
  CHECK_THROWS_AS(optim::validate(optim::muon{.scale = 0}), error);
}

static_assert(std::regular<optim::muon>, "hyper-parameters are a value");
