#include "mql4grec/nn/dense.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("dense: a linear map and a bias, with an optional ReLU", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const x = on(backend, matrix{{1.f, 2.f}}), weight = on(backend, matrix{{1.f, 1.f}, {-3.f, 0.f}, {0.f, 1.f}});
  auto const bias = on(backend, vector{0.5f, 1.f, -9.f});
  auto y = poisoned<float>(backend, {1, 3});
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::none, y);
  CHECK_CLOSE(y, matrix{{3.5f, -2.f, -7.f}}, 1e-6);
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::relu, y);
  CHECK_CLOSE(y, matrix{{3.5f, 0.f, 0.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("dense: equals a product and a bias of the reference for all widths and alignments of the bias", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  auto const layer = [](auto& b, shape size, index_t in, index_t gap, nn::rectifier end) {
    auto const x = on(b, random_normal<T>({size.rows, in}, 1), gap),
               weight = on(b, random_normal<T>({size.columns, in}, 2), gap);
    auto const bias = on(b, random_normal<T>(size.columns + 1, 3));
    auto y = poisoned<T>(b, size, gap);
    nn::dense<T>(b, x, {weight, (*bias).part(gap == 0 ? 0 : 1, size.columns)}, end, y);
    CHECK(y.gaps_untouched());
    return numbers_of(y);
  };
  for (auto end : {nn::rectifier::none, nn::rectifier::relu})
    for (index_t in : {0, 1, 33, 64})
      for_each_shape([&](index_t rows, index_t out, index_t gap) {
        CHECK_CLOSE(layer(fast, {rows, out}, in, gap, end), layer(exact, {rows, out}, in, gap, end),
                    tolerance<typename S::backend, T>);
      });
}

namespace whole_layers {

/// A backend with fused dense layers that counts their calls.
struct backend : reference::backend {
  backend& worker(index_t) { return *this; }
  int plain = 0, rectified = 0;
};
template <Field T>
void dense_forward(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> weight, in_vector<backend, T> bias,
                   out_matrix<backend, T> y) {
  ++b.plain;
  matmul<T>(b, x, weight, y, {.transpose_b = true});
  bias_forward<T>(b, bias, y);
}
template <Field T>
void dense_relu_forward(backend& b, in_matrix<backend, T>, in_matrix<backend, T>, in_vector<backend, T>,
                        out_matrix<backend, T>) {
  ++b.rectified;
}

}  // namespace whole_layers

TEST_CASE("dense: uses a backend's fused layer operations, and still checks shapes") {
  whole_layers::backend b;
  auto const x = on(b, matrix{{1.f, 2.f}}), weight = on(b, matrix{{1.f, 1.f}, {-3.f, 0.f}});
  auto const bias = on(b, vector{0.5f, 1.f});
  auto y = poisoned<float>(b, {1, 2}), wrong = poisoned<float>(b, {3, 2});
  nn::dense<float>(b, x, {weight, bias}, nn::rectifier::none, y);
  CHECK_CLOSE(y, matrix{{3.5f, -2.f}}, 1e-6);
  nn::dense<float>(b, x, {weight, bias}, nn::rectifier::relu, y);
  CHECK(b.plain == 1);
  CHECK(b.rectified == 1);
  CHECK_THROWS_WITH_AS(nn::dense<float>(b, x, {weight, bias}, nn::rectifier::none, wrong),
                       "linear: y is 3 × 2, expected 1 × 2", error);
}

TEST_CASE("dense: a bias of another length is refused with both lengths") {
  reference::backend b;
  auto y = poisoned<double>(b, {4, 5});
  CHECK_THROWS_WITH_AS(nn::dense<double>(b, random_normal({4, 3}, 1), {random_normal({5, 3}, 2), random_normal(4, 1)},
                                         nn::rectifier::none, y),
                       "dense: y has 5 columns but the bias 4 entries", error);
}
