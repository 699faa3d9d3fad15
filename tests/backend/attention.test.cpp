#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr dropout some{.rate = 0.3, .seed = 9, .step = 2, .site = 5, .first_row = 40};

/// An attention problem: the lengths of packed sequences, and the options of attention.
struct problem {
  std::vector<index_t> queries, keys;
  index_t heads, width;
  bool with_bias = false, causal = false;
  dropout drop = {};
  index_t gap = 0;

  index_t inner() const { return heads * width; }
  index_t query_rows() const { return std::accumulate(queries.begin(), queries.end(), index_t{0}); }
  index_t key_rows() const { return std::accumulate(keys.begin(), keys.end(), index_t{0}); }
  index_t longest() const { return std::max(std::ranges::max(queries), std::ranges::max(keys)); }
  index_t distances() const { return with_bias ? 2 * longest() - 1 : 0; }
  index_t scores() const {
    return heads * std::inner_product(queries.begin(), queries.end(), keys.begin(), index_t{0});
  }
};

/// The tensors of a problem, from fixed seeds.
template <class T>
struct operands {
  explicit operands(problem const& p)
      : q(random_normal<T>({p.query_rows(), p.inner()}, 1)),
        k(random_normal<T>({p.key_rows(), p.inner()}, 2)),
        v(random_normal<T>({p.key_rows(), p.inner()}, 3)),
        bias(random_normal<T>({p.with_bias ? p.heads : 0, p.distances()}, 4)),
        dcontext(random_normal<T>({p.query_rows(), p.inner()}, 5)) {}
  matrix<T> q, k, v, bias, dcontext;
};

template <class B, class T>
attention_inputs<typename B::memory_space, T> inputs(problem const& p, in_matrix<B, T> q, in_matrix<B, T> k,
                                                     in_matrix<B, T> v, in_matrix<B, T> bias,
                                                     in_vector<B, index_t> query_offsets,
                                                     in_vector<B, index_t> key_offsets) {
  return {.q = q,
          .k = k,
          .v = v,
          .query_offsets = query_offsets,
          .key_offsets = key_offsets,
          .heads = p.heads,
          .bias = bias,
          .zero_distance = p.longest() - 1,
          .causal = p.causal,
          .drop = p.drop};
}

struct passes {
  numbers weights, context, dq, dk, dv, dbias;
};

template <class T, class B>
passes both_passes(B& b, problem const& p, operands<T> const& x) {
  auto const query_offsets = on(b, offsets_of(p.queries)), key_offsets = on(b, offsets_of(p.keys));
  auto const q = on(b, x.q, p.gap), k = on(b, x.k, p.gap), v = on(b, x.v, p.gap), bias = on(b, x.bias),
             dcontext = on(b, x.dcontext, p.gap);
  auto weights = poisoned<T>(b, p.scores());
  auto context = poisoned<T>(b, x.q.extents(), p.gap);
  auto dq = poisoned<T>(b, x.q.extents(), p.gap), dk = poisoned<T>(b, x.k.extents(), p.gap),
       dv = poisoned<T>(b, x.v.extents(), p.gap);
  auto dbias = on(b, constant(x.bias.extents(), T(0.5)));  // accumulated
  auto const in = inputs<B, T>(p, q, k, v, bias, query_offsets, key_offsets);
  attention_forward<T>(b, in, weights, context);
  passes result{numbers_of(weights), numbers_of(context), {}, {}, {}, {}};
  attention_backward<T>(b, in, weights, dcontext, {.dq = dq, .dk = dk, .dv = dv, .dbias = dbias});
  CHECK((context.gaps_untouched() && dq.gaps_untouched() && dk.gaps_untouched() && dv.gaps_untouched()));
  result.dq = numbers_of(dq), result.dk = numbers_of(dk), result.dv = numbers_of(dv), result.dbias = numbers_of(dbias);
  return result;
}

template <class T, class B>
passes both_passes(B& b, problem const& p) {
  return both_passes(b, p, operands<T>(p));
}

void check_close(passes const& actual, passes const& expected, double allowed) {
  CHECK_CLOSE(actual.weights, expected.weights, allowed);
  CHECK_CLOSE(actual.context, expected.context, allowed);
  CHECK_CLOSE(actual.dq, expected.dq, allowed);
  CHECK_CLOSE(actual.dk, expected.dk, allowed);
  CHECK_CLOSE(actual.dv, expected.dv, allowed);
  CHECK_CLOSE(actual.dbias, expected.dbias, allowed);
}
}  // namespace

TEST_CASE_TEMPLATE("attention: equal scores result in the mean of the values", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {2}, .keys = {3}, .heads = 1, .width = 2};
  operands<float> x(p);
  x.q = constant({2, 2}, 0.f);
  x.v = {{1.f, 10.f}, {2.f, 20.f}, {6.f, 60.f}};
  CHECK_CLOSE(both_passes(backend, p, x).context, matrix{{3.f, 30.f}, {3.f, 30.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("attention: equals a hand-computed example with unscaled scores", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {1}, .keys = {2}, .heads = 1, .width = 1};
  operands<float> x(p);
  x.q = {{2.f}}, x.k = {{0.f}, {std::log(3.f) / 2}}, x.v = {{4.f}, {8.f}};
  auto const result = both_passes(backend, p, x);
  CHECK_CLOSE(result.weights, vector{0.25f, 0.75f}, 1e-6);
  CHECK_CLOSE(result.context, matrix{{7.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("attention: a head's weights sum to one for every query", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {3, 1, 17}, .keys = {5, 1, 17}, .heads = 2, .width = 16, .with_bias = true};
  auto const weights = both_passes<float>(backend, p).weights.values;
  auto row = weights.begin();
  for (std::size_t s = 0; s < p.queries.size(); ++s)
    for (index_t i = 0; i < p.heads * p.queries[s]; ++i, row += p.keys[s])
      CHECK_CLOSE(std::accumulate(row, row + p.keys[s], 0.), 1., 1e-5);
}

TEST_CASE_TEMPLATE("attention: a causal query doesn't attend to later positions", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {4}, .keys = {4}, .heads = 1, .width = 16, .with_bias = true, .causal = true};
  operands<float> x(p);
  auto const before = both_passes(backend, p, x);
  for (std::size_t j = 0; j < 16; ++j) CHECK_CLOSE(before.context.values[j], x.v.values[j], 1e-6);
  std::fill(x.k.values.begin() + 32, x.k.values.end(), 77.f);
  std::fill(x.v.values.begin() + 32, x.v.values.end(), 77.f);
  auto const after = both_passes(backend, p, x);
  for (std::size_t i = 0; i < 32; ++i) CHECK_CLOSE(after.context.values[i], before.context.values[i], 1e-6);
}

TEST_CASE_TEMPLATE("attention: sequences don't attend to each other", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const together{.queries = {2, 3}, .keys = {4, 1}, .heads = 2, .width = 16},
      first_only{.queries = {2}, .keys = {4}, .heads = 2, .width = 16};
  auto const all = both_passes<float>(backend, together),
             first = both_passes<float>(backend, first_only);  // the tensors have equal prefixes
  for (std::size_t i = 0; i < first.context.values.size(); ++i)
    CHECK_CLOSE(all.context.values[i], first.context.values[i], 1e-6);
  for (std::size_t i = 0; i < first.dk.values.size(); ++i) CHECK_CLOSE(all.dk.values[i], first.dk.values[i], 1e-6);
}

TEST_CASE_TEMPLATE("attention: a large bias at a distance selects the key at that distance", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {3}, .keys = {3}, .heads = 1, .width = 1, .with_bias = true};
  operands<float> x(p);
  x.v = {{1.f}, {2.f}, {3.f}};
  x.bias = {{0.f, 60.f, 0.f, 0.f, 0.f}};  // distances −2 … 2: prefers the key before the query
  x.q = constant({3, 1}, 0.f);
  CHECK_CLOSE(both_passes(backend, p, x).context, matrix{{2.f}, {1.f}, {2.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("attention: dropout uses row `query` and column `head · keys + key`", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{.queries = {2, 3}, .keys = {4, 5}, .heads = 2, .width = 16, .drop = some};
  operands<float> x(p);
  x.q = constant({5, 32}, 0.f);  // all weights are 1 / keys
  x.v = constant({9, 32}, 1.f);
  auto expected = constant({5, 32}, 0.f);
  for (index_t row = 0; row < 5; ++row)
    for (index_t head = 0; head < 2; ++head)
      for (index_t key = 0, keys = row < 2 ? 4 : 5; key < keys; ++key)
        if (keeps(some, row, head * keys + key))
          for (index_t c = 0; c < 16; ++c)
            expected.values[static_cast<std::size_t>(row * 32 + head * 16 + c)] +=
                static_cast<float>(some.scale() / static_cast<double>(keys));
  CHECK_CLOSE(both_passes(backend, p, x).context, expected, 1e-6);
}

TEST_CASE_TEMPLATE("attention: a sequence without queries has no context and zero gradients", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const result = both_passes<float>(backend, {.queries = {0, 2}, .keys = {3, 2}, .heads = 1, .width = 16});
  for (std::size_t i = 0; i < 48; ++i) CHECK((result.dk.values[i] == 0 && result.dv.values[i] == 0));
}

namespace {
/// The forward pass of a problem whose heads share keys in groups, with scaled scores. The keys and values are the
/// leading columns of the problem's.
template <class T, class B>
passes grouped_pass(B& b, problem const& p, index_t group, double scale) {
  operands<T> const x(p);
  auto const query_offsets = on(b, offsets_of(p.queries)), key_offsets = on(b, offsets_of(p.keys));
  auto const q = on(b, x.q, p.gap), k = on(b, x.k, p.gap), v = on(b, x.v, p.gap), bias = on(b, x.bias);
  auto weights = poisoned<T>(b, p.scores());
  auto context = poisoned<T>(b, x.q.extents(), p.gap);
  index_t const columns = p.inner() / group;
  auto in = inputs<B, T>(p, q, (*k).column_block(0, columns), (*v).column_block(0, columns), bias, query_offsets,
                         key_offsets);
  in.group = group, in.scale = scale;
  attention_forward<T>(b, in, weights, context);
  CHECK(context.gaps_untouched());
  return {numbers_of(weights), numbers_of(context), {}, {}, {}, {}};
}

/// The same with a copy of a group's keys and values for each of its heads, and with scaled queries.
passes copied_pass(problem const& p, index_t group, double scale) {
  reference::backend b;
  operands<double> x(p);
  auto const kept_k = x.k, kept_v = x.v;
  for (index_t i = 0; i < p.key_rows(); ++i)
    for (index_t j = 0; j < p.inner(); ++j) {
      index_t const from = j / p.width / group * p.width + j % p.width;
      x.k.values[static_cast<std::size_t>(i * p.inner() + j)] = kept_k(i, from);
      x.v.values[static_cast<std::size_t>(i * p.inner() + j)] = kept_v(i, from);
    }
  for (double& entry : x.q.values) entry *= scale;
  return both_passes<double>(b, p, x);
}
}  // namespace

TEST_CASE("attention: grouped heads equal copies of their keys and values, a scale equals scaled queries") {
  reference::backend b;
  problem const p{.queries = {3, 0, 5}, .keys = {3, 2, 5}, .heads = 6, .width = 4, .with_bias = true, .causal = false};
  for (index_t group : {1, 2, 3, 6}) {
    auto const expected = copied_pass(p, group, 0.5), actual = grouped_pass<double>(b, p, group, 0.5);
    CHECK_CLOSE(actual.weights, expected.weights, 1e-12);
    CHECK_CLOSE(actual.context, expected.context, 1e-12);
  }
}

TEST_CASE_TEMPLATE("attention: equals the reference for grouped heads and scaled scores, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = 10 * tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  problem const shapes[] = {{.queries = {1, 17, 5}, .keys = {1, 17, 5}, .heads = 4, .width = 16},
                            {.queries = {50, 3, 0, 131}, .keys = {50, 3, 0, 131}, .heads = 4, .width = 64},
                            {.queries = {6, 1}, .keys = {33, 4}, .heads = 4, .width = 10}};  // not whole registers
  for (problem p : shapes)
    for (index_t group : {1, 2, 4})
      for (int options = 0; options < 4; ++options) {
        p.with_bias = options & 1, p.causal = (options & 1) && p.queries == p.keys, p.gap = options & 2 ? 4 : 0;
        CAPTURE(group);
        CAPTURE(options);
        auto const expected = grouped_pass<T>(exact, p, group, 0.25);
        for_each_instruction_set([&] {
          auto const actual = grouped_pass<T>(fast, p, group, 0.25);
          CHECK_CLOSE(actual.weights, expected.weights, allowed);
          CHECK_CLOSE(actual.context, expected.context, allowed);
        });
      }
}

TEST_CASE("attention: packed keys of grouped heads give the results of keys as they are") {
  cpu::backend b;
  problem const p{.queries = {5, 20}, .keys = {7, 20}, .heads = 4, .width = 16};
  operands<float> const x(p);
  auto const query_offsets = on(b, offsets_of(p.queries)), key_offsets = on(b, offsets_of(p.keys));
  auto const q = on(b, x.q), k = on(b, x.k), v = on(b, x.v), bias = on(b, x.bias);
  auto in = inputs<cpu::backend, float>(p, q, (*k).column_block(0, 32), (*v).column_block(0, 32), bias, query_offsets,
                                        key_offsets);
  in.group = 2, in.scale = 0.25;
  auto weights = poisoned<float>(b, p.scores());
  auto context = poisoned<float>(b, x.q.extents()), expected = poisoned<float>(b, x.q.extents());
  attention_forward<float>(b, in, weights, expected);
  scratch_scope<cpu::backend> const scope(b.scratch());
  in.packed_keys = pack_keys<float>(b, in.k, key_offsets, 2);
  attention_forward<float>(b, in, weights, context);
  CHECK_CLOSE(context, expected, 0);
}

TEST_CASE_TEMPLATE("attention: equals the reference on ragged sequences, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed =
      10 * tolerance<typename S::backend, T>;  // scores reach 40 for width 80, and exp amplifies errors
  typename S::backend fast;
  reference::backend exact;
  problem const shapes[] = {
      {.queries = {1}, .keys = {1}, .heads = 1, .width = 16},
      {.queries = {1, 17, 5, 1, 16}, .keys = {1, 17, 5, 1, 16}, .heads = 3, .width = 32},
      {.queries = {6, 1, 3}, .keys = {1, 33, 15}, .heads = 2, .width = 17},  // not a multiple of a register
      {.queries = {2, 43}, .keys = {2, 43}, .heads = 6, .width = 16},        // 258 columns of mask: 3 blocks
      {.queries = {6, 0, 2}, .keys = {128, 3, 129}, .heads = 2, .width = 80}};
  for (problem p : shapes)
    for (int options = 0; options < 16; ++options) {
      p.with_bias = options & 1, p.causal = (options & 2) && p.queries == p.keys;
      p.drop = options & 4 ? some : dropout{};
      p.gap = options & 8 ? 3 : 0;
      CAPTURE(p.scores());
      CAPTURE(options);
      auto const expected = both_passes<T>(exact, p);
      for_each_instruction_set([&] { check_close(both_passes<T>(fast, p), expected, allowed); });
    }
}

TEST_CASE_TEMPLATE("attention: equals the reference around tile boundaries", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  problem const shapes[] = {
      {.queries = {1, 9, 0, 2, 17, 1, 8, 3},
       .keys = {40, 64, 5, 1, 33, 1, 32, 65},
       .heads = 2,
       .width = 20},  // few queries per sequence
      {.queries = {1, 2, 31, 1, 4, 1, 8}, .keys = {1, 2, 31, 1, 4, 1, 8}, .heads = 3, .width = 70},
      {.queries = {33, 0, 32, 65}, .keys = {33, 0, 32, 65}, .heads = 2, .width = 20},
      {.queries = {70, 1, 0, 31}, .keys = {5, 40, 9, 64}, .heads = 1, .width = 65},  // one column more than a tile
      {.queries = {34, 3}, .keys = {67, 2}, .heads = 3, .width = 1}};
  for (problem p : shapes)
    for (int options = 0; options < 8; ++options) {
      p.with_bias = options & 1, p.causal = (options & 1) && p.queries == p.keys;
      p.drop = options & 2 ? some : dropout{};
      p.gap = options & 4 ? (options & 1 ? 4 : 3) : 0;  // a gap of 4 floats keeps groups of four aligned
      CAPTURE(p.scores());
      CAPTURE(options);
      check_close(both_passes<T>(fast, p), both_passes<T>(exact, p), 10 * tolerance<typename S::backend, T>);
    }
}

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
TEST_CASE_TEMPLATE("attention: a device writes no weights that nobody keeps, and computes the same context", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  for (bool const long_sequences : {false, true}) {
    index_t const n = long_sequences ? 70 : 9;  // more keys than a tile, and fewer
    problem const p{.queries = {n, 1, 3}, .keys = {n, 1, 3}, .heads = 2, .width = 6, .causal = true};
    operands<float> const x(p);
    auto const offsets = on(b, offsets_of(p.queries));
    auto const q = on(b, x.q), k = on(b, x.k), v = on(b, x.v), bias = on(b, x.bias);
    auto in = inputs<B, float>(p, q, k, v, bias, offsets, offsets);
    auto weights = on(b, constant(p.scores(), 7.f)), untouched = on(b, constant(p.scores(), 7.f));
    auto context = poisoned<float>(b, x.q.extents()), expected = poisoned<float>(b, x.q.extents());
    attention_forward<float>(b, in, weights, expected);
    in.keeps_weights = false;
    attention_forward<float>(b, in, untouched, context);
    CHECK_CLOSE(context, fetched(expected), 0);
    if (!long_sequences) CHECK_CLOSE(untouched, constant(p.scores(), 7.f), 0);
  }
}
#endif

TEST_CASE_TEMPLATE("attention: equals the reference for a batch of a long and a short sequence", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  problem const p{
      .queries = {2, 513}, .keys = {2, 513}, .heads = 1, .width = 6, .with_bias = true, .causal = true, .drop = some};
  check_close(both_passes<T>(fast, p), both_passes<T>(exact, p), 10 * tolerance<typename S::backend, T>);
}

TEST_CASE("attention: NaN and +∞ scores give NaN, and so do scores of −∞ only, as in the reference") {
  cpu::backend fast;
  reference::backend exact;
  float const nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  problem const p{.queries = {20}, .keys = {20}, .heads = 1, .width = 16, .causal = true};
  auto const result = [&](auto& b, operands<float> const& x) {
    auto const offsets = offsets_of(p.queries);
    auto weights = poisoned<float>(b, p.scores());
    auto context = poisoned<float>(b, x.q.extents());
    attention_forward<float>(
        b, inputs<std::remove_reference_t<decltype(b)>, float>(p, x.q, x.k, x.v, x.bias, offsets, offsets), weights,
        context);
    return numbers_of(context).values;
  };
  auto const check = [&](operands<float> const& x, bool first_is_nan, bool last_is_nan) {
    auto const expected = result(exact, x);
    CHECK((std::isnan(expected.front()) == first_is_nan && std::isnan(expected.back()) == last_is_nan));
    for_each_instruction_set([&] {
      auto const actual = result(fast, x);
      for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK((std::isnan(expected[i]) ? std::isnan(actual[i]) : std::abs(actual[i] - expected[i]) < 1e-5));
    });
  };
  operands<float> x(p);
  x.q = constant({20, 16}, 1.f);  // a score is the sum of a key
  for (float const bad : {nan, infinite, -infinite})
    for (std::size_t key : {0, 3, 17}) {
      operands<float> changed = x;
      changed.k.values[key * 16] = bad;
      check(changed, key == 0, bad != -infinite);
    }
  for (float const bad : {nan, infinite, -infinite}) {
    operands<float> changed = x;
    for (std::size_t key = 0; key < 20; ++key) changed.k.values[key * 16] = bad;
    check(changed, true, true);
  }
}

TEST_CASE_TEMPLATE("attention: is deterministic", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  problem const p{
      .queries = {40, 3, 65}, .keys = {40, 3, 65}, .heads = 2, .width = 16, .with_bias = true, .drop = some};
  auto const once = both_passes<float>(backend, p), again = both_passes<float>(backend, p);
  CHECK(once.weights.values == again.weights.values);
  CHECK(once.context.values == again.context.values);
  CHECK(once.dq.values == again.dq.values);
  CHECK(once.dk.values == again.dk.values);
  CHECK(once.dv.values == again.dv.values);
  CHECK(once.dbias.values == again.dbias.values);
}

TEST_CASE_TEMPLATE("attention: columns of one matrix give the results of three matrices", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  problem const p{
      .queries = {35, 4}, .keys = {35, 4}, .heads = 2, .width = 10};  // 20 columns: heads begin off multiples of 4
  operands<float> const x(p);
  auto const apart = both_passes(b, p, x);
  matrix<float> merged = constant({p.query_rows(), 3 * p.inner()}, 0.f);
  for (index_t i = 0; i < p.query_rows(); ++i)
    for (index_t j = 0; j < p.inner(); ++j) {
      float* const row = merged.values.data() + i * 3 * p.inner() + j;
      row[0] = x.q(i, j), row[p.inner()] = x.k(i, j), row[2 * p.inner()] = x.v(i, j);
    }
  auto const qkv = on(b, merged), bias = on(b, x.bias);
  auto const offsets = on(b, offsets_of(p.queries));
  auto weights = poisoned<float>(b, p.scores());
  auto context = poisoned<float>(b, x.q.extents());
  auto const block = [&](index_t n) { return (*qkv).column_block(n * p.inner(), p.inner()); };
  attention_forward<float>(b, inputs<B, float>(p, block(0), block(1), block(2), bias, offsets, offsets), weights,
                           context);
  CHECK_CLOSE(context, apart.context, 1e-6);
}

TEST_CASE("attention: backward is the derivative of forward, with bias, causality and dropout or without") {
  for (int options = 0; options < 8; ++options) {
    problem p{.queries = {3, 1, 2}, .keys = {3, 1, 2}, .heads = 2, .width = 2};
    p.with_bias = options & 1, p.causal = options & 2, p.drop = options & 4 ? some : dropout{};
    operands<double> const x(p);
    operands<complex> const at{p};
    auto const claimed = both_passes<double>(*std::make_unique<reference::backend>(), p, x);
    auto const loss = [&](auto const& q, auto const& k, auto const& v, auto const& bias) {
      reference::backend b;
      auto weights = poisoned<complex>(b, p.scores());
      auto context = poisoned<complex>(b, q.extents());
      attention_forward<complex>(
          b, inputs<reference::backend, complex>(p, q, k, v, bias, offsets_of(p.queries), offsets_of(p.keys)), weights,
          context);
      return inner_product<complex>(*context, at.dcontext);
    };
    CAPTURE(options);
    CHECK(gradient_error([&](auto const& q) { return loss(q, at.k, at.v, at.bias); }, x.q, claimed.dq.values) < 1e-12);
    CHECK(gradient_error([&](auto const& k) { return loss(at.q, k, at.v, at.bias); }, x.k, claimed.dk.values) < 1e-12);
    CHECK(gradient_error([&](auto const& v) { return loss(at.q, at.k, v, at.bias); }, x.v, claimed.dv.values) < 1e-12);
    auto dbias = claimed.dbias.values;
    for (double& entry : dbias) entry -= 0.5;  // the initial value
    CHECK(gradient_error([&](auto const& bias) { return loss(at.q, at.k, at.v, bias); }, x.bias, dbias) < 1e-12);
  }
}
