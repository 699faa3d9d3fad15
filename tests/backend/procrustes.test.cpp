#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// op(a) · op(b), by the reference.
template <class T>
matrix<T> multiplied(matrix<T> const& a, matrix<T> const& b, product how = {}) {
  reference::backend exact;
  shape const s{how.transpose_a ? a.columns() : a.rows(), how.transpose_b ? b.rows() : b.columns()};
  auto c = poisoned<T>(exact, s);
  matmul<T>(exact, a, b, c, how);
  return {s, std::vector<T>((*c).data, (*c).data + s.size())};
}
template <class T>
matrix<T> identity(index_t d) {
  auto one = constant({d, d}, T{});
  for (index_t i = 0; i < d; ++i) one.values[static_cast<std::size_t>(i * d + i)] = 1;
  return one;
}
template <class T, class B>
matrix<T> rotation_of(B& b, matrix<T> const& product, index_t gap = 0) {
  auto rotation = poisoned<T>(b, product.extents(), gap);
  procrustes_rotation<T>(b, on(b, product, gap), rotation);
  CHECK(rotation.gaps_untouched());
  auto const all = fetched(rotation);
  CHECK_CLOSE(multiplied(all, all, {.transpose_a = true}), identity<T>(all.rows()), tolerance<B, T>);
  return all;
}
/// Σ x ∘ y, which the rotation maximises.
double inner_product(matrix<double> const& x, matrix<double> const& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.values.size(); ++i) sum += x.values[i] * y.values[i];
  return sum;
}
}  // namespace

TEST_CASE_TEMPLATE("procrustes_rotation: finds the rotation applied to the rows", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (index_t d : {1, 2, 3, 8, 17}) {
    auto const x = random_normal<double>({40, d}, 1);
    auto const wanted = rotation_of<double>(b, random_normal<double>({d, d}, 2), 2);
    auto const y = multiplied(x, wanted);
    CHECK_CLOSE(rotation_of<double>(b, multiplied(x, y, {.transpose_a = true})), wanted, 1e-11);
  }
}

TEST_CASE_TEMPLATE("procrustes_rotation: no other rotation has a lower error", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const product = random_normal<double>({6, 6}, 3);
  double const best = inner_product(rotation_of<double>(b, product), product);
  for (std::uint64_t seed = 10; seed < 60; ++seed)
    CHECK(inner_product(rotation_of<double>(b, random_normal<double>({6, 6}, seed)), product) < best);
}

TEST_CASE_TEMPLATE("procrustes_rotation: is orthogonal for a rank-deficient product", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  rotation_of<double>(b, constant({5, 5}, 0.));
  rotation_of<double>(b, constant({5, 5}, 2.));
  auto const narrow = random_normal<double>({3, 9}, 1), other = random_normal<double>({3, 9}, 2);
  auto const product = multiplied(narrow, other, {.transpose_a = true});  // of rank 3
  reference::backend exact;
  CHECK_CLOSE(inner_product(rotation_of<double>(b, product), product),
              inner_product(rotation_of<double>(exact, product), product), 1e-12);
}

TEST_CASE_TEMPLATE("procrustes_rotation: equals the reference", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t d : {0, 1, 2, 15, 16, 17, 33})
    for (index_t gap : {0, 3}) {
      auto const product = random_normal<T>({d, d}, 4);
      CHECK_CLOSE(rotation_of<T>(fast, product, gap), rotation_of<T>(exact, product, gap),
                  tolerance<typename S::backend, T>);
    }
}
