#pragma once
// The softmax of attention and its gradient, for rows of tens of keys. Compilers generate permutations and scalar tails
// for plain loops, which cost twice the work itself: here rows are whole registers, and lanes beyond the last key are
// masked. A macro defines the kernels for each instruction set, as explained in small_product.hpp.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu::detail {

/// The scores of one head of a sequence: (queries, stride), of which the first `keys` columns are used. The others are
/// readable.
struct score_rows {
  float* data;
  index_t stride;  ///< a multiple of `lanes`
  index_t queries, keys;
  bool causal;
  float scale = 1.f;  ///< factor of the scores, before the bias is added

  /// The number of keys that query i attends to.
  MQL4GREC_INLINE index_t visible(index_t i) const { return causal ? i + 1 : keys; }
  /// Whether row i of a matrix (queries, keys) can be read and written as `stride` entries: the next rows follow it.
  MQL4GREC_INLINE bool whole(index_t i) const { return (queries - i) * keys >= stride; }
};

/// The gradient of the bias, in several copies to add up; data is null if there is none. Query i adds to copy
/// i % copies: a row that is read while the stores of the row before it, one entry apart, are pending, would wait.
struct bias_sums {
  static constexpr index_t copies = 4;
  float* data = nullptr;  ///< of key 0 and query 0, as the bias of softmax_rows
  index_t stride = 0;     ///< between copies
};

typedef float four_floats __attribute__((vector_size(16)));  ///< what reduce_* combines

// softmax_rows_*, softmax_gradient_*: see below. exp_*: as exp_approximate. reduce_*: the sum or the maximum of the
// lanes. nvcc 13.0 takes neither a constant as the initial value of a 64-byte register nor vectors in generic lambdas.
#define MQL4GREC_SOFTMAX(set, register_bytes, ...)                                                       \
  typedef float floats_##set __attribute__((vector_size(register_bytes)));                               \
  typedef std::int32_t ints_##set __attribute__((vector_size(register_bytes)));                          \
                                                                                                         \
  MQL4GREC_INLINE __VA_ARGS__ void exp_##set(floats_##set& x) {                                          \
    constexpr float to_integer = 12582912.f;                                                             \
    x = x < -87.f ? floats_##set{} - 87.f : x; /* keeps NaN */                                           \
    floats_##set const shifted = x * 1.44269504f + to_integer, n = shifted - to_integer;                 \
    floats_##set const r = (x - n * 0.693359375f) - n * -2.12194440e-4f;                                 \
    floats_##set p = r * 1.9875691500e-4f + 1.3981999507e-3f;                                            \
    p = p * r + 8.3334519073e-3f;                                                                        \
    p = p * r + 4.1665795894e-2f;                                                                        \
    p = p * r + 1.6666665459e-1f;                                                                        \
    p = p * r + 5.0000001201e-1f;                                                                        \
    p = p * r * r + r + 1.f;                                                                             \
    x = p * (floats_##set)(((ints_##set)shifted << 23) + 0x3f800000);                                    \
  }                                                                                                      \
  template <class Combine>                                                                               \
  MQL4GREC_INLINE __VA_ARGS__ float reduce_##set(floats_##set const& x, Combine combine) {               \
    four_floats part[register_bytes / 16];                                                               \
    std::memcpy(part, &x, sizeof x);                                                                     \
    for (index_t half = register_bytes / 32; half > 0; half /= 2)                                        \
      for (index_t l = 0; l < half; ++l) part[l] = combine(part[l], part[l + half]);                     \
    part[0] = combine(part[0], __builtin_shufflevector(part[0], part[0], 2, 3, 0, 1));                   \
    return combine(part[0], __builtin_shufflevector(part[0], part[0], 1, 0, 3, 2))[0];                   \
  }                                                                                                      \
                                                                                                         \
  __VA_ARGS__ inline void softmax_rows_##set(score_rows of, float* weights, float const* bias) {         \
    constexpr index_t width = register_bytes / sizeof(float);                                            \
    constexpr float infinity = std::numeric_limits<float>::infinity();                                   \
    ints_##set first;                                                                                    \
    for (int l = 0; l < width; ++l) first[l] = l;                                                        \
    for (index_t i = 0; i < of.queries; ++i, weights += of.keys) {                                       \
      float* const row = of.data + i * of.stride;                                                        \
      int const visible = static_cast<int>(of.visible(i));                                               \
      floats_##set sum = {}, top = sum - infinity;                                                       \
      ints_##set at = first;                                                                             \
      for (index_t j = 0; j < of.stride; j += width, at += static_cast<int>(width)) {                    \
        floats_##set x, b;                                                                               \
        std::memcpy(&x, row + j, sizeof x);                                                              \
        x *= of.scale;                                                                                   \
        if (bias) {                                                                                      \
          std::memcpy(&b, bias - i + j, sizeof b);                                                       \
          x += b;                                                                                        \
        }                                                                                                \
        x = at < visible ? x : floats_##set{} - infinity;                                                \
        top = x > top ? x : top;                                                                         \
        std::memcpy(row + j, &x, sizeof x);                                                              \
      }                                                                                                  \
      float const shift = reduce_##set(top, [](four_floats a, four_floats b) { return a > b ? a : b; }); \
      at = first;                                                                                        \
      for (index_t j = 0; j < of.stride; j += width, at += static_cast<int>(width)) {                    \
        floats_##set x;                                                                                  \
        std::memcpy(&x, row + j, sizeof x);                                                              \
        x -= shift;                                                                                      \
        exp_##set(x);                                                                                    \
        x = at < visible ? x : floats_##set{};                                                           \
        sum += x;                                                                                        \
        std::memcpy(row + j, &x, sizeof x);                                                              \
      }                                                                                                  \
      float const scale = 1.f / reduce_##set(sum, [](four_floats a, four_floats b) { return a + b; });   \
      float* const to = of.whole(i) ? weights : row;                                                     \
      for (index_t j = 0; j < of.stride; j += width) {                                                   \
        floats_##set x;                                                                                  \
        std::memcpy(&x, row + j, sizeof x);                                                              \
        x *= scale;                                                                                      \
        std::memcpy(to + j, &x, sizeof x);                                                               \
      }                                                                                                  \
      if (to == row) std::copy_n(row, of.keys, weights);                                                 \
    }                                                                                                    \
  }                                                                                                      \
                                                                                                         \
  __VA_ARGS__ inline void softmax_gradient_##set(score_rows of, float const* weights, bias_sums dbias,   \
                                                 float* scratch) {                                       \
    constexpr index_t width = register_bytes / sizeof(float);                                            \
    ints_##set first;                                                                                    \
    for (int l = 0; l < width; ++l) first[l] = l;                                                        \
    for (index_t i = 0; i < of.queries; ++i, weights += of.keys) {                                       \
      float* const row = of.data + i * of.stride;                                                        \
      int const visible = static_cast<int>(of.visible(i));                                               \
      float const* const from = of.whole(i) ? weights : scratch;                                         \
      if (from == scratch) std::copy_n(weights, of.keys, scratch);                                       \
      float* const sums = dbias.data ? dbias.data + i % bias_sums::copies * dbias.stride - i : nullptr;  \
      floats_##set sum = {};                                                                             \
      ints_##set at = first;                                                                             \
      for (index_t j = 0; j < of.stride; j += width, at += static_cast<int>(width)) {                    \
        floats_##set p, dp;                                                                              \
        std::memcpy(&p, from + j, sizeof p);                                                             \
        std::memcpy(&dp, row + j, sizeof dp);                                                            \
        sum += at < visible ? p * dp : floats_##set{};                                                   \
      }                                                                                                  \
      float const inner = reduce_##set(sum, [](four_floats a, four_floats b) { return a + b; });         \
      at = first;                                                                                        \
      for (index_t j = 0; j < of.stride; j += width, at += static_cast<int>(width)) {                    \
        floats_##set p, dp, total;                                                                       \
        std::memcpy(&p, from + j, sizeof p);                                                             \
        std::memcpy(&dp, row + j, sizeof dp);                                                            \
        dp = at < visible ? p * (dp - inner) : floats_##set{};                                           \
        std::memcpy(row + j, &dp, sizeof dp);                                                            \
        if (!sums) continue;                                                                             \
        std::memcpy(&total, sums + j, sizeof total);                                                     \
        total += dp;                                                                                     \
        std::memcpy(sums + j, &total, sizeof total);                                                     \
      }                                                                                                  \
    }                                                                                                    \
  }
MQL4GREC_SOFTMAX(baseline, 16)
#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_SOFTMAX(avx2, 32, __attribute__((target("avx2,fma"))))
MQL4GREC_SOFTMAX(avx512, 64, __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))))
#endif
#undef MQL4GREC_SOFTMAX

/// weights (queries, keys) = the softmax of scores, which are overwritten. As in the reference, a query with a score of
/// NaN or +∞, or with no score above −∞, has weights of NaN. `bias`, if not null, points to the bias of
/// key 0 and query 0; for each further query it begins one entry earlier. Its entries are readable up to the stride of
/// the scores.
inline void softmax_rows(score_rows scores, float* weights, float const* bias) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::amx:
    case instruction_set::avx512: return softmax_rows_avx512(scores, weights, bias);
    case instruction_set::avx2: return softmax_rows_avx2(scores, weights, bias);
    case instruction_set::baseline: break;
  }
#endif
  softmax_rows_baseline(scores, weights, bias);
}

/// Replaces dp, the gradient of the weights, by that of the scores, weights ∘ (dp − Σ weights·dp); columns from `keys`
/// on become 0. Its sums by distance are added to dbias. `scratch` has room for a row of dp.
inline void softmax_rows_gradient(score_rows dp, float const* weights, bias_sums dbias, float* scratch) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::amx:
    case instruction_set::avx512: return softmax_gradient_avx512(dp, weights, dbias, scratch);
    case instruction_set::avx2: return softmax_gradient_avx2(dp, weights, dbias, scratch);
    case instruction_set::baseline: break;
  }
#endif
  softmax_gradient_baseline(dp, weights, dbias, scratch);
}

}  // namespace mql4grec::cpu::detail
