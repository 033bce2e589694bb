// What the float kernels call their vectors, in AVX2 with FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "requantize.h"

namespace degreequant::avx2 {

struct FloatLanes {
  static constexpr int64_t kLanes = 8;
  static constexpr int kGemmRows = 6;
  static constexpr int kMaxVectors = 8;
  using Vector = __m256;
  using Index = __m256i;

  DEGREEQUANT_INLINE static __m256i mask_of(int64_t count) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  DEGREEQUANT_INLINE static Vector set(float value) noexcept { return _mm256_set1_ps(value); }
  DEGREEQUANT_INLINE static Vector load(const float* p) noexcept { return _mm256_loadu_ps(p); }
  DEGREEQUANT_INLINE static Vector load_some(const float* p, int64_t count) noexcept { return _mm256_maskload_ps(p, mask_of(count)); }
  DEGREEQUANT_INLINE static void store(float* p, Vector v) noexcept { _mm256_storeu_ps(p, v); }
  DEGREEQUANT_INLINE static void store_some(float* p, int64_t count, Vector v) noexcept { _mm256_maskstore_ps(p, mask_of(count), v); }
  DEGREEQUANT_INLINE static Vector from_integers(const int32_t* p) noexcept {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm256_add_ps(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_ps(a, b); }
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm256_mul_ps(a, b); }
  DEGREEQUANT_INLINE static Vector divide(Vector a, Vector b) noexcept { return _mm256_div_ps(a, b); }
  DEGREEQUANT_INLINE static Vector fma(Vector a, Vector b, Vector c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept { return _mm256_max_ps(a, b); }
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept { return _mm256_min_ps(a, b); }
  DEGREEQUANT_INLINE static Vector where_less(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  DEGREEQUANT_INLINE static Vector times_power(Vector p, Vector n) noexcept {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
  }
  DEGREEQUANT_INLINE static float sum(Vector v) noexcept {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  DEGREEQUANT_INLINE static Index load_index(const int32_t* p, int32_t less) noexcept {
    return _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_set1_epi32(less));
  }
  DEGREEQUANT_INLINE static Vector pick(const float* values, Index index) noexcept {
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), index);
  }
};

}  // namespace degreequant::avx2
