#include "mql4grec/optim/gradient_surgery.hpp"

#include <map>

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using gradient = std::vector<double>;

double dot(gradient const& a, gradient const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Algorithm 1 of the paper, on the gradients themselves; in the order that surgery_weights takes from the stream.
gradient by_definition(std::vector<gradient> const& gradients, random_stream random) {
  gradient total(gradients.front().size(), 0);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    std::vector<std::size_t> others;
    for (std::size_t j = 0; j < gradients.size(); ++j)
      if (j != i) others.push_back(j);
    for (std::size_t n = others.size(); n > 1; --n)
      std::swap(others[n - 1], others[to_size(random.below(static_cast<index_t>(n)))]);
    auto projected = gradients[i];
    for (auto const j : others) {
      double const conflict = dot(projected, gradients[j]);
      if (conflict >= 0) continue;
      double const factor = conflict / dot(gradients[j], gradients[j]);
      for (std::size_t e = 0; e < projected.size(); ++e) projected[e] -= factor * gradients[j][e];
    }
    for (std::size_t e = 0; e < total.size(); ++e) total[e] += projected[e];
  }
  return total;
}

std::vector<gradient> random_gradients(std::size_t groups, index_t n) {
  std::vector<gradient> made;
  for (std::size_t g = 0; g < groups; ++g) made.push_back(random_normal<double>(n, 5 + g).values);
  return made;
}
}  // namespace

TEST_CASE_TEMPLATE("gradient surgery: equals its definition for any number of groups", B, MQL4GREC_TEST_BACKENDS) {
  for (std::size_t groups = 1; groups <= 6; ++groups)
    for (index_t const n : {3, 40'000}) {  // in three dimensions, most of six gradients conflict
      B b;
      auto const gradients = random_gradients(groups, n);
      std::vector<std::decay_t<decltype(on(b, vector<double>(gradients[0])))>> stored;
      std::vector<out_vector<B, double>> views;
      for (auto const& one : gradients) stored.push_back(on(b, vector<double>(one)));
      for (auto& one : stored) views.push_back(*one);
      auto out = on(b, constant(n, 7.0));
      double const norm =
          optim::combine_gradients<double>(b, std::span<out_vector<B, double> const>(views), {1, 2}, *out);
      auto const expected = by_definition(gradients, {1, 2});
      CHECK_CLOSE(numbers_of(out).values, expected, 1e-9);
      CHECK_CLOSE(norm, std::sqrt(dot(expected, expected)), 1e-9);
    }
}

TEST_CASE("gradient surgery: has the same bits for any number of workers") {
  index_t const n = 100'001;
  auto const of = [&](index_t workers) {
    cpu::backend b(workers);
    std::vector<std::vector<float>> stored;
    std::vector<out_vector<cpu::backend, float>> views;
    for (std::size_t g = 0; g < 3; ++g) stored.push_back(random_normal<float>(n, 5 + g).values);
    for (auto& one : stored) views.emplace_back(one.data(), n);
    std::vector<float> out(to_size(n));
    double const norm = optim::combine_gradients<float>(b, std::span<out_vector<cpu::backend, float> const>(views),
                                                        {1, 2}, out_vector<cpu::backend, float>(out.data(), n));
    return std::pair(out, norm);
  };
  auto const alone = of(1);
  CHECK(of(2) == alone);
  CHECK(of(3) == alone);
  CHECK(of(8) == alone);
}

TEST_CASE(
    "gradient surgery: without conflicts it is the sum, and two conflicting gradients end orthogonal to each other") {
  CHECK(optim::surgery_weights(std::vector<double>{2, 1, 0, 1, 3, 0.5, 0, 0.5, 1}, {1, 2}) ==
        std::vector<double>{1, 1, 1});
  // a = (1, 0), b = (−1, 1): a loses its part along b and is (.5, .5), b loses its part along a and is (0, 1)
  auto const weights = optim::surgery_weights(std::vector<double>{1, -1, -1, 2}, {1, 2});
  CHECK_CLOSE(weights, (std::vector<double>{2, 1.5}), 1e-12);
  CHECK(optim::surgery_weights(std::vector<double>{1, 0, 0, 0}, {1, 2}) == std::vector<double>{1, 1});
}

TEST_CASE("gradient surgery: the order of projections is random, a function of the stream") {
  auto const gradients = random_gradients(4, 3);
  std::vector<double> products;
  for (auto const& a : gradients)
    for (auto const& b : gradients) products.push_back(dot(a, b));
  std::map<std::vector<double>, int> found;
  for (std::uint64_t stream = 0; stream < 50; ++stream) ++found[optim::surgery_weights(products, {1, stream})];
  CHECK(found.size() > 1);
  CHECK(optim::surgery_weights(products, {1, 3}) == optim::surgery_weights(products, {1, 3}));
}

TEST_CASE("gradient surgery: another number of workers changes only the rounding") {
  auto const combined = [](index_t workers) {
    cpu::backend b(workers);
    auto one = on(b, random_normal<float>(50'001, 1)), two = on(b, random_normal<float>(50'001, 2)),
         out = on(b, constant(50'001, 0.f));
    std::vector<out_vector<cpu::backend, float>> const views = {*one, *two};
    optim::combine_gradients<float>(b, std::span<out_vector<cpu::backend, float> const>(views), {1, 2}, *out);
    return numbers_of(out);
  };
  CHECK_CLOSE(combined(3), combined(1), 1e-6);
  CHECK_CLOSE(combined(3), combined(3), 0);
}
