// What the float kernels call their vectors, in AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "requantize.h"

namespace degreequant::avx512 {

struct FloatLanes {
  static constexpr int64_t kLanes = 16;
  static constexpr int kGemmRows = 12;
  static constexpr int kMaxVectors = 8;
  using Vector = __m512;
  using Index = __m512i;

  DEGREEQUANT_INLINE static __mmask16 mask_of(int64_t count) noexcept {
    return count >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1U << count) - 1);
  }

  DEGREEQUANT_INLINE static Vector set(float value) noexcept { return _mm512_set1_ps(value); }
  DEGREEQUANT_INLINE static Vector load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  DEGREEQUANT_INLINE static Vector load_some(const float* p, int64_t count) noexcept { return _mm512_maskz_loadu_ps(mask_of(count), p); }
  DEGREEQUANT_INLINE static void store(float* p, Vector v) noexcept { _mm512_storeu_ps(p, v); }
  DEGREEQUANT_INLINE static void store_some(float* p, int64_t count, Vector v) noexcept { _mm512_mask_storeu_ps(p, mask_of(count), v); }
  DEGREEQUANT_INLINE static Vector from_integers(const int32_t* p) noexcept { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm512_add_ps(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_ps(a, b); }
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm512_mul_ps(a, b); }
  DEGREEQUANT_INLINE static Vector divide(Vector a, Vector b) noexcept { return _mm512_div_ps(a, b); }
  DEGREEQUANT_INLINE static Vector fma(Vector a, Vector b, Vector c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept { return _mm512_max_ps(a, b); }
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept { return _mm512_min_ps(a, b); }
  DEGREEQUANT_INLINE static Vector where_less(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  DEGREEQUANT_INLINE static Vector times_power(Vector p, Vector n) noexcept {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(n), 23)));
  }
  DEGREEQUANT_INLINE static float sum(Vector v) noexcept {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  DEGREEQUANT_INLINE static Index load_index(const int32_t* p, int32_t less) noexcept {
    return _mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_set1_epi32(less));
  }
  DEGREEQUANT_INLINE static Vector pick(const float* values, Index index) noexcept {
    return _mm512_permutexvar_ps(index, _mm512_loadu_ps(values));
  }
};

}  // namespace degreequant::avx512
