// AVX2 as the kernels use it that treat each code by itself: eight int32 lanes, whatever the codes' type.
#pragma once

#include "attention.h"
#include "sums_avx2.h"

namespace degreequant::avx2 {

struct Lanes : Simd {
  using Multipliers = Multiplier8;

  DEGREEQUANT_INLINE static Vector load_codes(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
    return load8(type, row, col, count);
  }

  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm256_mullo_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept { return _mm256_max_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_right(Vector v, int places) noexcept { return _mm256_srai_epi32(v, places); }
  DEGREEQUANT_INLINE static Vector widen(const int8_t* p) noexcept {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  DEGREEQUANT_INLINE static Vector widen(const uint8_t* p) noexcept {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  // Between 0 and `most`.
  DEGREEQUANT_INLINE static Vector limited(Vector v, int32_t most) noexcept {
    return _mm256_max_epi32(_mm256_min_epi32(v, set(most)), set(0));
  }
  DEGREEQUANT_INLINE static Vector permute(Vector v, Vector index) noexcept { return _mm256_permutevar8x32_epi32(v, index); }
  DEGREEQUANT_INLINE static int32_t first_lane(Vector v) noexcept { return _mm256_cvtsi256_si32(v); }
  DEGREEQUANT_INLINE static Vector sequence(int32_t first, int32_t step) noexcept {
    return add(set(first), multiply(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), set(step)));
  }
  // Of small numbers by the divisor whose inverse is given: half is added, so that no quotient comes near the next integer.
  DEGREEQUANT_INLINE static Vector quotients(Vector n, float inverse) noexcept {
    const __m256 middle = _mm256_add_ps(_mm256_cvtepi32_ps(n), _mm256_set1_ps(0.5F));
    return _mm256_cvttps_epi32(_mm256_mul_ps(middle, _mm256_set1_ps(inverse)));
  }

  // The values of the first `total` columns from `col` on; there may be one for all.
  DEGREEQUANT_INLINE static Vector load_some(const int32_t* values, int64_t total, int64_t col, int64_t count) noexcept {
    return total == 1 ? set(values[0]) : _mm256_maskload_epi32(values + col, first_lanes(count));
  }
  DEGREEQUANT_INLINE static Vector gather(const int32_t* values, int64_t total, Vector index) noexcept {
    return total == 1 ? set(values[0]) : look_up(values, index);
  }

  DEGREEQUANT_INLINE static Multipliers combined(Vector a_mantissa, Vector a_shift, Vector b_mantissa, Vector b_shift) noexcept {
    const Multipliers a = avx2::widen(a_mantissa, a_shift);
    const Multipliers b = avx2::widen(b_mantissa, b_shift);
    return {bounded(combine(a.low, b.low)), bounded(combine(a.high, b.high))};
  }
  DEGREEQUANT_INLINE static Multipliers multipliers(Vector mantissa, Vector shift) noexcept { return avx2::widen(mantissa, shift); }
  DEGREEQUANT_INLINE static Vector requantized(Vector acc, const Multipliers& m, Vector addend, Clamp clamp) noexcept {
    return requantize8(acc, m, addend, clamp);
  }
  DEGREEQUANT_INLINE static Vector requantize_with(Vector acc, const Multipliers& m, const Requantize& rule, int64_t col,
                                                   int64_t count) noexcept {
    return requantize8(acc, m, load_addend8(rule, col, count), rule.clamp);
  }

  // share_of, of each lane.
  DEGREEQUANT_INLINE static __m256i share4(__m128i num, Multiplier4 m) noexcept {
    const __m256i product = _mm256_mul_epi32(_mm256_cvtepi32_epi64(num), m.mantissa);
    const __m128i places = _mm_sub_epi32(m.shift, _mm_set1_epi32(kAddendBits));
    const __m256i unshifted = _mm256_cvtepi32_epi64(_mm_cmpeq_epi32(places, _mm_setzero_si128()));
    const __m256i share = _mm256_blendv_epi8(round_shift(product, _mm_max_epi32(places, _mm_set1_epi32(1))), product, unshifted);
    return limit_to(share, -kMaxShare, kMaxShare);
  }
  DEGREEQUANT_INLINE static void store_shares(int64_t* shares, Vector num, const Multipliers& m) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(shares), share4(_mm256_castsi256_si128(num), m.low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(shares + 4), share4(_mm256_extracti128_si256(num, 1), m.high));
  }
};

}  // namespace degreequant::avx2
