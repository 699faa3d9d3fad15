#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Positions in a cache as a matrix of 32-bit numbers.
matrix<std::int32_t> places_of(shape s, std::vector<std::int32_t> entries) { return {s, std::move(entries)}; }

/// Rows of `cache` contain q, k, v. The q of a row is that of its own position, the last of its path.
template <class T, class B>
tensor_on<T, B, 2> attended(B& b, matrix<T> const& cache, matrix<std::int32_t> const& places, matrix<T> const& bias,
                            index_t zero_distance, index_t gap = 0) {
  index_t const inner = cache.columns() / 3;
  view<T const, host_space, 2> const qkv = cache;
  matrix<T> own({places.rows(), inner}, std::vector<T>(static_cast<std::size_t>(places.rows() * inner)));
  for (index_t i = 0; i < places.rows(); ++i)
    for (index_t c = 0; c < inner; ++c)
      own.values[static_cast<std::size_t>(i * inner + c)] =
          qkv(places.values[static_cast<std::size_t>((i + 1) * places.columns() - 1)], c);
  auto context = poisoned<T>(b, {places.rows(), inner}, gap);
  auto const q = on(b, own, gap);
  auto const cached = on(b, cache, gap), by_distance = on(b, bias, gap);
  auto const ancestors = on(b, places);
  cached_attention<T>(b,
                      {.q = q,
                       .cache = (*cached).column_block(inner, 2 * inner),
                       .places = ancestors,
                       .bias = by_distance,
                       .zero_distance = zero_distance},
                      context);
  CHECK(context.gaps_untouched());
  return context;
}
}  // namespace

TEST_CASE_TEMPLATE("cached_attention: a path of length one results in its own value", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const context = attended<float>(b, {{9.f, 9.f, 1.f, 9.f, 9.f, 2.f}, {9.f, 9.f, 3.f, 9.f, 9.f, 4.f}},
                                       places_of({2, 1}, {1, 0}), {{5.f}, {-5.f}}, 0);
  CHECK_CLOSE(context, matrix{{9.f, 4.f}, {9.f, 2.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("cached_attention: for one path it equals the last row of causal attention", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  index_t const steps = 5, heads = 2, inner = 6;
  auto const cache = random_normal<float>({steps, 3 * inner}, 1),
             bias = random_normal<float>({heads, 2 * steps - 1}, 2);
  auto const qkv = on(b, cache), by_distance = on(b, bias);
  auto const offsets = on(b, vector<index_t>{0, steps});
  auto weights = poisoned<float>(b, heads * steps * steps);
  auto context = poisoned<float>(b, {steps, inner});
  attention_forward<float>(b,
                           {.q = (*qkv).column_block(0, inner),
                            .k = (*qkv).column_block(inner, inner),
                            .v = (*qkv).column_block(2 * inner, inner),
                            .query_offsets = offsets,
                            .key_offsets = offsets,
                            .heads = heads,
                            .bias = by_distance,
                            .zero_distance = steps - 1,
                            .causal = true},
                           weights, context);
  for (std::int32_t last = 0; last < steps; ++last) {
    std::vector<std::int32_t> path(static_cast<std::size_t>(last) + 1);
    std::iota(path.begin(), path.end(), 0);
    CHECK_CLOSE(attended(b, cache, places_of({1, last + 1}, path), bias, steps - 1), (*context).row_block(last, 1),
                1e-5);
  }
}

TEST_CASE_TEMPLATE("cached_attention: rows that share ancestors are independent", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const cache = random_normal<float>({6, 12}, 1), bias = random_normal<float>({2, 5}, 2);
  auto const together = attended(b, cache, places_of({3, 3}, {0, 1, 3, 0, 1, 4, 0, 2, 5}), bias, 2);
  CHECK_CLOSE(attended(b, cache, places_of({1, 3}, {0, 1, 4}), bias, 2), (*together).row_block(1, 1), 0);
}

TEST_CASE_TEMPLATE("cached_attention: equals the reference, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t width : {1, 15, 16, 17, 64})
    for (index_t steps : {1, 5, 64, 65})
      for (index_t gap : {0, 3}) {
        auto const cache = random_normal<T>({3 * steps, 9 * width}, 1), bias = random_normal<T>({3, 2 * steps - 1}, 2);
        std::vector<std::int32_t> entries;
        for (index_t i = 0; i < 2 * steps; ++i) entries.push_back(static_cast<std::int32_t>((7 * i) % (3 * steps)));
        auto const places = places_of({2, steps}, entries);
        auto const expected = attended(exact, cache, places, bias, steps - 1, gap);
        for_each_instruction_set([&] {
          CHECK_CLOSE(attended(fast, cache, places, bias, steps - 1, gap), expected,
                      5 * tolerance<typename S::backend, T>);
        });
      }
}
