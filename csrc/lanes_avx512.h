// AVX-512 as the kernels use it that treat each code by itself: sixteen int32 lanes, whatever the codes' type.
#pragma once

#include "attention.h"
#include "sums_avx512.h"

namespace degreequant::avx512 {

struct Lanes : Simd {
  using Multipliers = Multiplier16;

  DEGREEQUANT_INLINE static Vector load_codes(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
    return load16(type, row, col, count);
  }

  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm512_mullo_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept { return _mm512_max_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_right(Vector v, int places) noexcept {
    return _mm512_srai_epi32(v, static_cast<unsigned>(places));
  }
  DEGREEQUANT_INLINE static Vector widen(const int8_t* p) noexcept {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  DEGREEQUANT_INLINE static Vector widen(const uint8_t* p) noexcept {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // Between 0 and `most`.
  DEGREEQUANT_INLINE static Vector limited(Vector v, int32_t most) noexcept {
    return _mm512_max_epi32(_mm512_min_epi32(v, set(most)), set(0));
  }
  DEGREEQUANT_INLINE static Vector permute(Vector v, Vector index) noexcept { return _mm512_permutexvar_epi32(index, v); }
  DEGREEQUANT_INLINE static int32_t first_lane(Vector v) noexcept { return _mm512_cvtsi512_si32(v); }
  DEGREEQUANT_INLINE static Vector sequence(int32_t first, int32_t step) noexcept {
    const Vector lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return add(set(first), multiply(lane, set(step)));
  }
  // Of small numbers by the divisor whose inverse is given: half is added, so that no quotient comes near the next integer.
  DEGREEQUANT_INLINE static Vector quotients(Vector n, float inverse) noexcept {
    const __m512 middle = _mm512_add_ps(_mm512_cvtepi32_ps(n), _mm512_set1_ps(0.5F));
    return _mm512_cvttps_epi32(_mm512_mul_ps(middle, _mm512_set1_ps(inverse)));
  }

  // The values of the first `total` columns from `col` on; there may be one for all.
  DEGREEQUANT_INLINE static Vector load_some(const int32_t* values, int64_t total, int64_t col, int64_t count) noexcept {
    return total == 1 ? set(values[0]) : _mm512_maskz_loadu_epi32(static_cast<__mmask16>(first_lanes(count)), values + col);
  }
  DEGREEQUANT_INLINE static Vector gather(const int32_t* values, int64_t total, Vector index) noexcept {
    return total == 1 ? set(values[0]) : look_up(values, index);
  }

  DEGREEQUANT_INLINE static Multipliers combined(Vector a_mantissa, Vector a_shift, Vector b_mantissa, Vector b_shift) noexcept {
    const auto half = [&](__m256i am, __m256i as, __m256i bm, __m256i bs)
                          DEGREEQUANT_INLINE_LAMBDA { return bounded(combine(avx512::widen(am, as), avx512::widen(bm, bs))); };
    return {half(_mm512_castsi512_si256(a_mantissa), _mm512_castsi512_si256(a_shift), _mm512_castsi512_si256(b_mantissa),
                 _mm512_castsi512_si256(b_shift)),
            half(_mm512_extracti64x4_epi64(a_mantissa, 1), _mm512_extracti64x4_epi64(a_shift, 1), _mm512_extracti64x4_epi64(b_mantissa, 1),
                 _mm512_extracti64x4_epi64(b_shift, 1))};
  }
  DEGREEQUANT_INLINE static Multipliers multipliers(Vector mantissa, Vector shift) noexcept {
    return {avx512::widen(_mm512_castsi512_si256(mantissa), _mm512_castsi512_si256(shift)),
            avx512::widen(_mm512_extracti64x4_epi64(mantissa, 1), _mm512_extracti64x4_epi64(shift, 1))};
  }
  DEGREEQUANT_INLINE static Vector requantized(Vector acc, const Multipliers& m, Vector addend, Clamp clamp) noexcept {
    return requantize16(acc, m, addend, clamp);
  }
  DEGREEQUANT_INLINE static Vector requantize_with(Vector acc, const Multipliers& m, const Requantize& rule, int64_t col,
                                                   int64_t count) noexcept {
    return requantize16(acc, m, load_addend16(rule, col, static_cast<__mmask16>(first_lanes(count))), rule.clamp);
  }

  // share_of, of each lane.
  DEGREEQUANT_INLINE static __m512i share8(__m256i num, Multiplier8 m) noexcept {
    const __m512i product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(num), m.mantissa);
    const __m512i places = _mm512_sub_epi64(m.shift, _mm512_set1_epi64(kAddendBits));
    const __mmask8 shifted = _mm512_test_epi64_mask(places, places);
    const __m512i share = _mm512_mask_mov_epi64(product, shifted, round_shift(product, places));
    return _mm512_max_epi64(_mm512_min_epi64(share, _mm512_set1_epi64(kMaxShare)), _mm512_set1_epi64(-kMaxShare));
  }
  DEGREEQUANT_INLINE static void store_shares(int64_t* shares, Vector num, const Multipliers& m) noexcept {
    _mm512_storeu_si512(shares, share8(_mm512_castsi512_si256(num), m.low));
    _mm512_storeu_si512(shares + 8, share8(_mm512_extracti64x4_epi64(num, 1), m.high));
  }
};

}  // namespace degreequant::avx512
