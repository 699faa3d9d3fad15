#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("mean_pool: the mean of each sequence, zeros for an empty one", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {3, 2});
  mean_pool<float>(backend, on(backend, matrix{{1.f, 10.f}, {2.f, 20.f}, {6.f, 60.f}, {5.f, 7.f}}),
                   on(backend, vector<index_t>{0, 3, 3, 4}), y);
  CHECK_CLOSE(y, matrix{{3.f, 30.f}, {0.f, 0.f}, {5.f, 7.f}}, 1e-6);
}

namespace {
template <class T, class B>
numbers pooled(B& b, std::vector<index_t> const& lengths, index_t d, index_t gap) {
  auto const offsets = offsets_of(lengths);
  auto const x = on(b, random_normal<T>({offsets.values.back(), d}, 1), gap);
  auto y = poisoned<T>(b, {std::ssize(lengths), d}, gap);
  mean_pool<T>(b, x, on(b, offsets), y);
  CHECK(y.gaps_untouched());
  return numbers_of(y);
}
}  // namespace

TEST_CASE_TEMPLATE("mean_pool: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  std::vector<std::vector<index_t>> const batches{{}, {0}, {1, 0, 17, 300}};
  for (auto const& lengths : batches)
    for (index_t d : edge_widths)
      for (index_t gap : edge_gaps) {
        auto const expected = pooled<T>(exact, lengths, d, gap);
        for_each_instruction_set(
            [&] { CHECK_CLOSE(pooled<T>(fast, lengths, d, gap), expected, tolerance<typename S::backend, T>); });
      }
}
