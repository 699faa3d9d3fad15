#include "mql4grec/nn/mlp.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Weights (out, in) and biases of an MLP on the host, layer by layer.
template <class T>
struct mlp_parameters {
  std::vector<matrix<T>> weights;
  std::vector<vector<T>> biases;
};

template <class T>
mlp_parameters<T> random_parameters(std::vector<index_t> const& widths) {
  mlp_parameters<T> all;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    all.weights.push_back(random_normal<T>({widths[l + 1], widths[l]}, 10 + l));
    all.biases.push_back(random_normal<T>(widths[l + 1], 20 + l));
  }
  return all;
}
template <class U, class T>
mlp_parameters<U> converted(mlp_parameters<T> const& from) {
  mlp_parameters<U> all;
  for (auto const& weight : from.weights) all.weights.push_back(as<U>(weight));
  for (auto const& bias : from.biases) all.biases.push_back(as<U>(bias));
  return all;
}

/// The same in a backend's memory, with gradients of the same shapes that are NaN at first.
template <class B, class T>
struct mlp_on {
  std::vector<tensor_on<T, B, 2>> weights, weight_gradients;
  std::vector<tensor_on<T, B, 1>> biases, bias_gradients;
  std::vector<nn::dense_weights<T const, typename B::memory_space>> layers;
  std::vector<nn::dense_weights<T, typename B::memory_space>> gradients;

  mlp_on(B& b, mlp_parameters<T> const& from) {
    for (std::size_t l = 0; l < from.weights.size(); ++l) {
      weights.push_back(on(b, from.weights[l]));
      biases.push_back(on(b, from.biases[l]));
      weight_gradients.push_back(poisoned<T>(b, from.weights[l].extents()));
      bias_gradients.push_back(poisoned<T>(b, from.biases[l].size()));
      layers.push_back({std::as_const(weights.back()), std::as_const(biases.back())});
      gradients.push_back({weight_gradients.back(), bias_gradients.back()});
    }
  }
};

/// Results of a forward and backward pass: y (rows, out), dx (rows, in), gradients by layer.
struct mlp_results {
  numbers y, dx;
  std::vector<numbers> weight_gradients, bias_gradients;
};

/// A whole pass on x and the gradient dy of the output, with rows and weights divided among `workers` workers that run
/// one after the other.
template <class T, class B>
mlp_results pass(B& b, mlp_parameters<T> const& parameters, matrix<T> const& x, matrix<T> const& dy,
                 index_t workers = 1) {
  mlp_on<B, T> mlp(b, parameters);
  nn::mlp_activations<B, T> activations(b, mlp.layers, x.rows());
  auto const all_x = on(b, x), all_dy = on(b, dy);
  auto dx = poisoned<T>(b, x.extents());
  for (index_t i = 0; i < workers; ++i) {
    auto const rows = worker_share{i, workers}.of(x.rows());
    nn::mlp_forward<T, B>(b, mlp.layers, (*all_x).row_block(rows.first, rows.count), rows, activations);
    copy<T>(b, (*all_dy).row_block(rows.first, rows.count).flat(), activations.last_gradient(rows).flat());
    nn::mlp_backward<T, B>(b, mlp.layers, rows, activations, (*dx).row_block(rows.first, rows.count));
  }
  for (index_t i = 0; i < workers; ++i)
    nn::mlp_weight_gradients<T, B>(b, {{i, workers}}, all_x, activations, mlp.gradients);
  mlp_results out{numbers_of(activations.last_output({0, x.rows()})), numbers_of(dx), {}, {}};
  for (auto const& gradient : mlp.weight_gradients) out.weight_gradients.push_back(numbers_of(gradient));
  for (auto const& gradient : mlp.bias_gradients) out.bias_gradients.push_back(numbers_of(gradient));
  return out;
}

void check_close(mlp_results const& actual, mlp_results const& expected, double tolerance) {
  CHECK_CLOSE(actual.y, expected.y, tolerance);
  CHECK_CLOSE(actual.dx, expected.dx, tolerance);
  for (std::size_t l = 0; l < expected.weight_gradients.size(); ++l) {
    CHECK_CLOSE(actual.weight_gradients[l], expected.weight_gradients[l], tolerance);
    CHECK_CLOSE(actual.bias_gradients[l], expected.bias_gradients[l], tolerance);
  }
}
}  // namespace

TEST_CASE_TEMPLATE("mlp: has a ReLU after each layer but the last", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  mlp_on<B, float> const mlp(b, {{matrix{{1.f, 1.f}, {-1.f, 0.f}}, matrix{{-2.f, 5.f}}}, {{0.5f, -1.f}, {1.f}}});
  auto const x = on(b, matrix{{1.f, 2.f}, {-3.f, 1.f}});
  auto y = poisoned<float>(b, {2, 1});
  scratch_scope<B> const scope(b.scratch());
  nn::mlp_forward<float, B>(b, mlp.layers, x, y);
  CHECK_CLOSE(y, matrix{{-6.f}, {11.f}}, 1e-6);  // hidden: (3.5, 0) and (0, 2)
}

TEST_CASE("mlp: the gradients are the derivatives with respect to input, weights and biases") {
  reference::backend b;
  for (std::vector<index_t> const& widths : {std::vector<index_t>{4, 3}, {4, 6, 5, 3}}) {
    auto const parameters = random_parameters<double>(widths);
    auto const x = random_normal({7, 4}, 1), dy = random_normal({7, 3}, 2);
    auto const found = pass(b, parameters, x, dy);
    auto const loss = [&](mlp_parameters<complex> const& at, matrix<complex> const& at_x) {
      mlp_on<reference::backend, complex> const mlp(b, at);
      auto y = poisoned<complex>(b, dy.extents());
      scratch_scope<reference::backend> const scope(b.scratch());
      nn::mlp_forward<complex, reference::backend>(b, mlp.layers, at_x, y);
      return inner_product<complex>(*y, as<complex>(dy));
    };
    auto const fixed = converted<complex>(parameters);
    CHECK(gradient_error([&](auto const& moved) { return loss(fixed, moved); }, x, found.dx.values) < 1e-12);
    for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
      CHECK(gradient_error(
                [&](matrix<complex> const& moved) {
                  auto at = fixed;
                  at.weights[l] = moved;
                  return loss(at, as<complex>(x));
                },
                parameters.weights[l], found.weight_gradients[l].values) < 1e-12);
      CHECK(gradient_error(
                [&](vector<complex> const& moved) {
                  auto at = fixed;
                  at.biases[l] = moved;
                  return loss(at, as<complex>(x));
                },
                parameters.biases[l], found.bias_gradients[l].values) < 1e-12);
    }
  }
}

TEST_CASE("mlp: the division among workers doesn't change the results") {
  reference::backend b;
  auto const parameters = random_parameters<double>({5, 33, 16, 3});
  auto const x = random_normal({11, 5}, 1), dy = random_normal({11, 3}, 2);
  auto const expected = pass(b, parameters, x, dy);
  for (index_t workers : {2, 3, 20}) check_close(pass(b, parameters, x, dy, workers), expected, 0);
}

TEST_CASE_TEMPLATE("mlp: every backend has the outputs and gradients of the reference", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (std::vector<index_t> const& widths : {std::vector<index_t>{1, 1}, {7, 33, 5}, {64, 17, 48, 32}})
    for (index_t rows : {1, 3, 129}) {
      CAPTURE(rows);
      // Small weights keep the sums near 1, to which the tolerance is relative.
      auto parameters = random_parameters<T>(widths);
      for (auto& weight : parameters.weights)
        for (T& entry : weight.values) entry /= std::sqrt(static_cast<T>(weight.columns()));
      auto const x = random_normal<T>({rows, widths.front()}, 1), dy = random_normal<T>({rows, widths.back()}, 2);
      check_close(pass(fast, parameters, x, dy), pass(exact, parameters, x, dy), tolerance<typename S::backend, T>);
    }
}

TEST_CASE_TEMPLATE("mlp: an empty gradient of the input is not computed", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  mlp_on<B, float> mlp(b, random_parameters<float>({3, 4, 2}));
  nn::mlp_activations<B, float> activations(b, mlp.layers, 5);
  auto const x = on(b, random_normal<float>({5, 3}, 1));
  row_range const rows{0, 5};
  nn::mlp_forward<float, B>(b, mlp.layers, x, rows, activations);
  fill<float>(b, activations.last_gradient(rows).flat(), 1.f);
  nn::mlp_backward<float, B>(b, mlp.layers, rows, activations, {});
  nn::mlp_weight_gradients<float, B>(b, {{0, 1}}, x, activations, mlp.gradients);
  CHECK_CLOSE(mlp.bias_gradients.back(), constant(2, 5.f), 1e-6);
}

TEST_CASE("mlp: an input of another width is refused with both numbers") {
  reference::backend b;
  mlp_on<reference::backend, double> const mlp(b, random_parameters<double>({3, 4}));
  auto y = poisoned<double>(b, {2, 4});
  CHECK_THROWS_WITH_AS((nn::mlp_forward<double, reference::backend>(b, mlp.layers, random_normal({2, 5}, 1), y)),
                       "linear: x has 5 columns but the weight takes 3", error);
}

TEST_CASE("worker_share: the parts of all workers are consecutive and cover all rows") {
  for (index_t rows : {0, 1, 15, 16, 17, 100})
    for (index_t workers : {1, 2, 3, 7}) {
      index_t next = 0, next_in_blocks = 0;
      for (index_t i = 0; i < workers; ++i) {
        worker_share const share{i, workers};
        auto const part = share.of(rows), in_blocks = share.of_blocks(rows, 16);
        CHECK(part.first == next);
        CHECK(in_blocks.first == next_in_blocks);
        CHECK((in_blocks.first % 16 == 0 || in_blocks.count == 0));
        next += part.count;
        next_in_blocks += in_blocks.count;
      }
      CHECK(next == rows);
      CHECK(next_in_blocks == rows);
    }
}
