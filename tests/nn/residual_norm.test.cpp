// The fused residual connection and norm equals the two operations one after the other.
#include "mql4grec/nn/residual_norm.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

constexpr dropout rare{.rate = 0.1, .seed = 0x123456789abcdef, .step = 7, .site = 11, .first_row = 1000};
constexpr dropout sites[] = {{}, rare, {.rate = 0.5, .seed = 3, .step = 2, .site = 5}};

struct passes {
  numbers stream, normed, inv_rms, dy, dstream, dgain;
};

void check_alike(passes const& actual, passes const& expected, double allowed) {
  CHECK_CLOSE(actual.stream, expected.stream, allowed);
  CHECK_CLOSE(actual.normed, expected.normed, allowed);
  CHECK_CLOSE(actual.inv_rms, expected.inv_rms, allowed);
  CHECK_CLOSE(actual.dy, expected.dy, allowed);
  CHECK_CLOSE(actual.dstream, expected.dstream, allowed);
  CHECK_CLOSE(actual.dgain, expected.dgain, allowed);
}

/// The forward and backward pass by `forward` and `backward`, which are called with their tensors.
template <class T, class B, class Forward, class Backward>
passes both_passes(B& b, shape size, index_t gap, Forward forward, Backward backward) {
  auto const from = on(b, random_normal<T>(size, 1), gap);
  auto const gain = on(b, random_normal<T>(size.columns, 2));
  auto stream = on(b, random_normal<T>(size, 3), gap), dy = on(b, random_normal<T>(size, 4), gap),
       normed = poisoned<T>(b, size, gap);
  auto dstream = on(b, random_normal<T>(size, 5));  // dstream and dgain are accumulated
  auto dgain = on(b, random_normal<T>(size.columns, 6));
  auto inv_rms = poisoned<T>(b, size.rows);
  forward(from, gain, stream, normed, inv_rms);
  backward(stream, gain, inv_rms, dy, dstream, dgain);
  CHECK((stream.gaps_untouched() && normed.gaps_untouched() && dy.gaps_untouched()));
  return {numbers_of(stream), numbers_of(normed),  numbers_of(inv_rms),
          numbers_of(dy),     numbers_of(dstream), numbers_of(dgain)};
}

/// By the fused call.
template <class T, class B>
passes at_once(B& b, dropout const& site, shape size, index_t gap) {
  return both_passes<T>(
      b, size, gap,
      [&](auto& from, auto& gain, auto& stream, auto& normed, auto& inv_rms) {
        nn::residual_norm<T>(b, site, 1e-6, {from, gain, stream, normed, inv_rms});
      },
      [&](auto& stream, auto& gain, auto& inv_rms, auto& dy, auto& dstream, auto& dgain) {
        nn::residual_norm_gradient<T>(b, site, {stream, gain}, inv_rms, {dy, dstream, dgain});
      });
}

/// By the separate operations.
template <class T, class B>
passes one_by_one(B& b, dropout const& site, shape size, index_t gap) {
  return both_passes<T>(
      b, size, gap,
      [&](auto& from, auto& gain, auto& stream, auto& normed, auto& inv_rms) {
        dropout_add<T>(b, site, from, stream);
        rms_norm_forward<T>(b, {stream, gain}, 1e-6, normed, inv_rms);
      },
      [&](auto& stream, auto& gain, auto& inv_rms, auto& dy, auto& dstream, auto& dgain) {
        auto dx = poisoned<T>(b, size);
        rms_norm_backward<T>(b, {stream, gain}, inv_rms, dy, {dx, dgain});
        accumulate<T>(b, (*dx).flat(), (*dstream).flat());
        dropout_copy<T>(b, site, dstream, dy);
      });
}

}  // namespace

TEST_CASE_TEMPLATE("residual_norm: adds the dropped-out input to the stream and normalizes the sum", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const from = on(b, matrix{{1.f, 2.f}, {0.f, -1.f}}), gain = on(b, matrix{{1.f, 2.f}});
  auto stream = on(b, matrix{{2.f, 2.f}, {6.f, 9.f}}), normed = poisoned<float>(b, {2, 2});
  auto inv_rms = poisoned<float>(b, 2);
  nn::residual_norm<float>(b, {}, 0, {from, (*gain).row(0), stream, normed, inv_rms});
  float const root = std::sqrt(2.f);
  CHECK_CLOSE(stream, matrix{{3.f, 4.f}, {6.f, 8.f}}, 0);
  CHECK_CLOSE(inv_rms, vector{root / 5, root / 10}, 1e-6);
  CHECK_CLOSE(normed, matrix{{0.6f * root, 1.6f * root}, {0.6f * root, 1.6f * root}}, 1e-6);
}

TEST_CASE_TEMPLATE("residual_norm: equals the separate operations, on every backend", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for (dropout const& site : sites)
    for_each_shape([&](index_t rows, index_t d, index_t gap) {
      auto const expected = one_by_one<T>(exact, site, {rows, d}, gap);
      check_alike(at_once<T>(exact, site, {rows, d}, gap), expected, 0);
      for_each_instruction_set([&] {
        auto const actual = at_once<T>(fast, site, {rows, d}, gap);
        check_alike(actual, one_by_one<T>(fast, site, {rows, d}, gap),
                    nn::ResidualNormOps<typename S::backend, T> ? allowed : 0);
        check_alike(actual, expected, allowed);
      });
    });
}

TEST_CASE_TEMPLATE("residual_norm: rows of several column blocks, in two micro-batches", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t d : {255, 256, 300, 1000})
    check_alike(at_once<T>(fast, rare, {70, d}, 0), one_by_one<T>(exact, rare, {70, d}, 0),
                tolerance<typename S::backend, T>);

  auto const from = on(fast, random_normal<T>({5, 130}, 1)), gain = on(fast, constant({1, 130}, T(1)));
  auto whole = on(fast, random_normal<T>({5, 130}, 2)), parts = on(fast, random_normal<T>({5, 130}, 2)),
       normed = poisoned<T>(fast, {5, 130});
  auto inv_rms = poisoned<T>(fast, 5);
  nn::residual_norm<T>(fast, rare, 1e-6, {from, (*gain).row(0), whole, normed, inv_rms});
  for (index_t first : {0, 2}) {
    index_t const rows = first == 0 ? 2 : 3;
    dropout part = rare;
    part.first_row += first;
    nn::residual_norm<T>(fast, part, 1e-6,
                         {(*from).row_block(first, rows), (*gain).row(0), (*parts).row_block(first, rows),
                          (*normed).row_block(first, rows), (*inv_rms).part(first, rows)});
  }
  CHECK_CLOSE(parts, whole, 0);
}

TEST_CASE_TEMPLATE("residual_norm: rows of dstream may have gaps", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const stream = on(b, random_normal<float>({3, 5}, 1)), gain = on(b, random_normal<float>({1, 5}, 2)),
             inv_rms = on(b, constant({1, 3}, 1.f));
  auto const gradient_of_stream = [&](index_t gap) {
    auto dy = on(b, random_normal<float>({3, 5}, 3)), dstream = on(b, random_normal<float>({3, 5}, 4), gap);
    auto dgain = poisoned<float>(b, 5);
    nn::residual_norm_gradient<float>(b, {}, {stream, (*gain).row(0)}, (*inv_rms).row(0), {dy, dstream, dgain});
    CHECK(dstream.gaps_untouched());
    return numbers_of(dstream);
  };
  CHECK_CLOSE(gradient_of_stream(3), gradient_of_stream(0), 0);
}

TEST_CASE_TEMPLATE("residual_norm: tensors whose shape differs from the stream's are refused with both numbers", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto stream = poisoned<float>(b, {2, 3}), normed = poisoned<float>(b, {2, 3}), wide = poisoned<float>(b, {2, 4});
  auto two = poisoned<float>(b, 2), three = poisoned<float>(b, 3);
  CHECK_THROWS_WITH_AS(nn::residual_norm<float>(b, {}, 1e-6, {wide, three, stream, normed, two}),
                       "residual_norm: from is 2 × 4, expected 2 × 3", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm<float>(b, {}, 1e-6, {stream, three, stream, wide, two}),
                       "residual_norm: normed is 2 × 4, expected 2 × 3", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm<float>(b, {}, 1e-6, {stream, two, stream, normed, two}),
                       "residual_norm: the stream has 3 columns but gain has 2 entries", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm<float>(b, {}, 1e-6, {stream, three, stream, normed, three}),
                       "residual_norm: the stream has 2 rows but inv_rms has 3 entries", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm_gradient<float>(b, {}, {stream, three}, two, {wide, normed, three}),
                       "residual_norm: dy is 2 × 4, expected 2 × 3", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm_gradient<float>(b, {}, {stream, three}, two, {normed, wide, three}),
                       "residual_norm: dstream is 2 × 4, expected 2 × 3", error);
  CHECK_THROWS_WITH_AS(nn::residual_norm_gradient<float>(b, {}, {stream, three}, two, {normed, normed, two}),
                       "residual_norm: gain has 3 entries but dgain 2", error);
}
