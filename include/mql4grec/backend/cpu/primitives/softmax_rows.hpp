#pragma once
// The softmax of attention, for rows of tens of keys. Compilers generate permutations and scalar tails for the plain
// loop, which cost twice the work itself; the AVX-512 version uses masks for tails.
#include "mql4grec/backend/cpu/primitives/math.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace mql4grec::cpu::detail {

/// The scores of one head of a sequence: (queries, stride), of which the first `keys` columns are used.
struct score_rows {
  float* data;
  index_t stride;  ///< a multiple of `lanes`
  index_t queries, keys;
  bool causal;
  float scale = 1.f;  ///< factor of the scores, before the bias is added

  /// The number of keys that query i attends to.
  MQL4GREC_INLINE index_t visible(index_t i) const { return causal ? i + 1 : keys; }
};

struct softmax_rows_kernel {
  MQL4GREC_INLINE static void run(score_rows of, float* weights, float const* bias) {
    float* scores = of.data;
    index_t const stride = of.stride, queries = of.queries, keys = of.keys;
    for (index_t i = 0; i < queries; ++i, scores += stride, weights += keys) {
      index_t const visible = of.visible(i);
      if (of.scale != 1.f)
        for (index_t j = 0; j < visible; ++j) scores[j] *= of.scale;
      if (bias)
        for (index_t j = 0; j < visible; ++j) scores[j] += bias[j - i];
      for (index_t j = visible; j < stride; ++j)
        scores[j] = -3e38f;  // so that whole registers can be processed without a tail
      float const shift = highest(scores, stride);
      for (index_t j = 0; j < stride; ++j) scores[j] = exp_approximate(scores[j] - shift);
      for (index_t j = visible; j < stride; ++j) scores[j] = 0.f;
      float const scale = 1.f / sum(scores, stride);
      for (index_t j = 0; j < keys; ++j) weights[j] = scores[j] * scale;
    }
  }
};

#if defined(__x86_64__) && defined(__GNUC__)
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // g++ 12 finds it in its own intrinsics, whose unused lanes are undefined
#endif
#define MQL4GREC_AVX512_FUNCTION __attribute__((target("avx512f,avx2,fma")))

/// exp_approximate for one register.
MQL4GREC_AVX512_FUNCTION inline __m512 exp_avx512(__m512 x) {
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.f)), _mm512_set1_ps(88.f));
  __m512 const n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 const r =
      _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x));
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  for (float const c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r), _mm512_set1_ps(1.f));
  return _mm512_scalef_ps(p, n);
}

/// The same with a row in `Registers` registers.
template <int Registers>
MQL4GREC_AVX512_FUNCTION inline void softmax_rows_avx512(score_rows of, float* weights, float const* bias) {
  float* scores = of.data;
  index_t const stride = of.stride, queries = of.queries, keys = of.keys;
  __m512 const factor = _mm512_set1_ps(of.scale);
  for (index_t i = 0; i < queries; ++i, scores += stride, weights += keys) {
    index_t const visible = of.visible(i);
    __mmask16 visible_lanes[Registers];
    __m512 x[Registers];
    __m512 top = _mm512_set1_ps(-3e38f);
    for (int r = 0; r < Registers; ++r) {
      index_t const left = visible - r * lanes;
      visible_lanes[r] = static_cast<__mmask16>(left >= lanes ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
      x[r] = _mm512_mask_loadu_ps(_mm512_set1_ps(-3e38f), visible_lanes[r], scores + r * lanes);
      x[r] = _mm512_mask_mul_ps(x[r], visible_lanes[r], x[r], factor);
      if (bias)
        x[r] = _mm512_mask_add_ps(x[r], visible_lanes[r], x[r],
                                  _mm512_maskz_loadu_ps(visible_lanes[r], bias - i + r * lanes));
      top = _mm512_max_ps(top, x[r]);
    }
    __m512 const shift = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    __m512 sum = _mm512_setzero_ps();
    for (int r = 0; r < Registers; ++r) {
      x[r] = _mm512_maskz_mov_ps(visible_lanes[r], exp_avx512(_mm512_sub_ps(x[r], shift)));
      sum = _mm512_add_ps(sum, x[r]);
    }
    __m512 const scale = _mm512_set1_ps(1.f / _mm512_reduce_add_ps(sum));
    for (int r = 0; r < Registers; ++r) {
      index_t const left = keys - r * lanes;
      auto const written = static_cast<__mmask16>(left >= lanes ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
      _mm512_mask_storeu_ps(weights + r * lanes, written, _mm512_mul_ps(x[r], scale));
    }
  }
}
#undef MQL4GREC_AVX512_FUNCTION
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif

/// weights (queries, keys) = the softmax of scores, which are overwritten. `bias`, if not null,
/// points to the bias of key 0 and query 0; for each further query it begins one entry earlier.
inline void softmax_rows(score_rows scores, float* weights, float const* bias) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (chosen_instruction_set() == instruction_set::avx512) {
    switch (scores.stride / lanes) {
      case 1: return softmax_rows_avx512<1>(scores, weights, bias);
      case 2: return softmax_rows_avx512<2>(scores, weights, bias);
      case 3: return softmax_rows_avx512<3>(scores, weights, bias);
      case 4: return softmax_rows_avx512<4>(scores, weights, bias);
      case 5: return softmax_rows_avx512<5>(scores, weights, bias);
      case 6: return softmax_rows_avx512<6>(scores, weights, bias);
      default: break;
    }
  }
#endif
  dispatch<softmax_rows_kernel>(scores, weights, bias);
}

}  // namespace mql4grec::cpu::detail
