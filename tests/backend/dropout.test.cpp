#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr dropout site{.rate = 0.3, .seed = 0x123456789abcdef, .step = 7, .site = 11, .first_row = 1000};

/// Dropout of x by the documented rule, `keeps`.
template <class T>
matrix<T> by_the_rule(dropout const& where, matrix<T> x) {
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) {
      T& entry = x.values[static_cast<std::size_t>(i * x.columns() + j)];
      entry = keeps(where, i, j) ? entry * static_cast<T>(where.scale()) : T{};
    }
  return x;
}
}  // namespace

TEST_CASE_TEMPLATE("dropout: the mask equals `keeps` at edge-case sizes, with every instruction set", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    for_each_instruction_set([&] {
      auto x = on(backend, constant({rows, d}, 1.f), gap);
      dropout_apply<float>(backend, site, x);
      CHECK_CLOSE(x, by_the_rule(site, constant({rows, d}, 1.f)), 0);
      CHECK(x.gaps_untouched());
    });
  });
}

TEST_CASE_TEMPLATE("dropout: out-of-place and residual variants drop the same entries", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const x = random_normal<float>({rows, d}, 1), stream = random_normal<float>({rows, d}, 2);
    auto const kept = by_the_rule(site, x);
    auto sum = kept;
    for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += stream.values[i];
    for_each_instruction_set([&] {
      auto y = poisoned<float>(backend, {rows, d}, gap), added = on(backend, x, gap);
      dropout_copy<float>(backend, site, on(backend, x, gap), y);
      dropout_add<float>(backend, site, on(backend, stream, gap), added);
      CHECK_CLOSE(y, kept, 1e-6);
      CHECK_CLOSE(added, sum, 1e-6);
      CHECK((y.gaps_untouched() && added.gaps_untouched()));
    });
  });
}

TEST_CASE_TEMPLATE("dropout: a rate of zero drops nothing", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const x = random_normal<float>({rows, d}, 1);
    auto in_place = on(backend, x, gap), copied = poisoned<float>(backend, {rows, d}, gap), added = on(backend, x, gap);
    dropout_apply<float>(backend, {}, in_place);
    dropout_copy<float>(backend, {}, in_place, copied);
    dropout_add<float>(backend, {}, on(backend, constant({rows, d}, 0.f), gap), added);
    CHECK_CLOSE(in_place, x, 0);
    CHECK_CLOSE(copied, x, 0);
    CHECK_CLOSE(added, x, 0);
  });
}

TEST_CASE_TEMPLATE("dropout: results don't depend on the division of rows into blocks", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto whole = on(backend, constant({10, 130}, 1.f)), parts = on(backend, constant({10, 130}, 1.f));
  dropout_apply<float>(backend, site, whole);
  for (index_t first : {0, 1, 7}) {
    index_t const last = first == 0 ? 1 : first == 1 ? 7 : 10;
    dropout block = site;
    block.first_row += first;
    dropout_apply<float>(backend, block, (*parts).row_block(first, last - first));
  }
  CHECK_CLOSE(parts, whole, 0);
}

TEST_CASE_TEMPLATE("dropout: preserves the mean and keeps the expected fraction of entries", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  for (double rate : {0.1, 0.5, 0.9}) {
    auto x = on(backend, constant({1000, 256}, 1.f));
    dropout_apply<float>(backend, {.rate = rate, .seed = 5}, x);
    double sum = 0;
    for (float entry : fetched(x).values) sum += static_cast<double>(entry);
    CAPTURE(rate);
    CHECK_CLOSE(sum / 256000, 1., 5 * std::sqrt(rate / (1 - rate) / 256000));  // five standard errors
  }
}

TEST_CASE("dropout: every part of the counter changes the mask") {
  auto const kept_alike = [](dropout const& a, dropout const& b) {
    int same = 0;
    for (index_t i = 0; i < 100; ++i)
      for (index_t j = 0; j < 100; ++j) same += keeps(a, i, j) == keeps(b, i, j);
    return same / 10000.;
  };
  dropout const even{.rate = 0.5, .seed = 1, .step = 1, .site = 1, .first_row = 0};
  auto const differs = [&](dropout const& other) { return std::abs(kept_alike(even, other) - 0.5) < 0.03; };
  CHECK(kept_alike(even, even) == 1);
  CHECK(differs({.rate = 0.5, .seed = 2, .step = 1, .site = 1}));
  CHECK(differs({.rate = 0.5, .seed = 1 | std::uint64_t{1} << 40, .step = 1, .site = 1}));
  CHECK(differs({.rate = 0.5, .seed = 1, .step = 2, .site = 1}));
  CHECK(differs({.rate = 0.5, .seed = 1, .step = 1, .site = 2}));
  CHECK(differs({.rate = 0.5, .seed = 1, .step = 1, .site = 1, .first_row = 1}));
}

TEST_CASE("dropout: neighbouring rows and columns are independent of each other") {
  dropout const even{.rate = 0.5, .seed = 3};
  for (index_t apart : {1, 2, 15, 16, 17, 32, 127, 128}) {
    int along_columns = 0, along_rows = 0;
    for (index_t i = 0; i < 100; ++i)
      for (index_t j = 0; j < 256; ++j) {
        along_columns += keeps(even, i, j) == keeps(even, i, j + apart);
        along_rows += keeps(even, i, j) == keeps(even, i + apart, j);
      }
    CAPTURE(apart);
    CHECK_CLOSE(along_columns / 25600., 0.5, 0.02);
    CHECK_CLOSE(along_rows / 25600., 0.5, 0.02);
  }
}

TEST_CASE_TEMPLATE("dropout: equals the reference in double precision", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  auto x = on(fast, random_normal<T>({17, 129}, 1));
  dropout_apply<T>(fast, site, x);
  CHECK_CLOSE(x, by_the_rule(site, random_normal<T>({17, 129}, 1)), tolerance<typename S::backend, T>);
}

TEST_CASE_TEMPLATE("dropout: a step number in device memory is read at each launch", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto step = on(backend, vector<std::int64_t>{0});
  for (std::int64_t now : {1, 7, 8}) {
    auto by_value = site, by_pointer = site;
    by_value.step = static_cast<std::uint32_t>(now);
    by_pointer.step = 99;
    fill(out_vector<B, std::int64_t>(step), [&](host_vector_view<std::int64_t> place) { place(0) = now; });
    by_pointer.step_place = out_vector<B, std::int64_t>(step).data;
    auto x = on(backend, constant({5, 200}, 1.f));
    dropout_apply<float>(backend, by_pointer, x);
    CHECK_CLOSE(x, by_the_rule(by_value, constant({5, 200}, 1.f)), 0);
  }
}
