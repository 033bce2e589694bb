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
  // The first `count` of the bytes at p with some bits flipped, as signed numbers.
  DEGREEQUANT_INLINE static Vector widen_flipped(const uint8_t* p, int64_t count, int32_t flip) noexcept {
    const __m128i bytes = _mm_maskz_loadu_epi8(static_cast<__mmask16>(first_lanes(count)), p);
    return _mm512_cvtepi8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(flip))));
  }
  // Between 0 and `most`.
  DEGREEQUANT_INLINE static Vector limited(Vector v, int32_t most) noexcept {
    return _mm512_max_epi32(_mm512_min_epi32(v, set(most)), set(0));
  }
  DEGREEQUANT_INLINE static Vector permute(Vector v, Vector index) noexcept { return _mm512_permutexvar_epi32(index, v); }
  // Lane i gets what lane i + step has, from the first again behind the last.
  DEGREEQUANT_INLINE static Vector rotate(Vector v, int32_t step) noexcept {
    return permute(v, add(set(step), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
  }
  // The first `count` lanes of v, and the others of `rest`.
  DEGREEQUANT_INLINE static Vector keep(Vector v, int64_t count, Vector rest) noexcept {
    return _mm512_mask_mov_epi32(rest, static_cast<__mmask16>(first_lanes(count)), v);
  }
  DEGREEQUANT_INLINE static Vector load_some(const int32_t* values, int64_t count) noexcept {
    return _mm512_maskz_loadu_epi32(static_cast<__mmask16>(first_lanes(count)), values);
  }

  // combine and bounded.
  DEGREEQUANT_INLINE static Multipliers combined(Vector a_mantissa, Vector a_shift, Vector b_mantissa, Vector b_shift) noexcept {
    const Multipliers a = multipliers(a_mantissa, a_shift), b = multipliers(b_mantissa, b_shift);
    return {combined8(a.low, b.low), combined8(a.high, b.high)};
  }
  DEGREEQUANT_INLINE static Multiplier8 combined8(Multiplier8 a, Multiplier8 b) noexcept {
    const __m512i product = _mm512_add_epi64(_mm512_mul_epi32(a.mantissa, b.mantissa), _mm512_set1_epi64(1 << 30));
    const Multiplier8 m = {shift_rounded(product, _mm512_set1_epi64(31)),
                           _mm512_add_epi64(_mm512_add_epi64(a.shift, b.shift), _mm512_set1_epi64(-31))};
    const bool is_small = _mm512_cmplt_epi64_mask(m.shift, _mm512_set1_epi64(kAddendBits)) != 0;
    return is_small ? bounded(m) : bounded_above(m);
  }
  // bounded, where no shift is below kAddendBits.
  DEGREEQUANT_INLINE static Multiplier8 bounded_above(Multiplier8 m) noexcept {
    const __m512i zero = _mm512_setzero_si512(), most = _mm512_set1_epi64(kMaxShift);
    const __m512i excess = _mm512_min_epi64(_mm512_max_epi64(_mm512_sub_epi64(m.shift, most), zero), _mm512_set1_epi64(33));
    const __m512i half = _mm512_srli_epi64(_mm512_sllv_epi64(_mm512_set1_epi64(1), excess), 1);
    const __mmask8 is_down = _mm512_movepi64_mask(m.mantissa) & _mm512_test_epi64_mask(excess, excess);
    const __m512i raised = _mm512_add_epi64(m.mantissa, half);
    return {_mm512_srav_epi64(_mm512_mask_sub_epi64(raised, is_down, raised, _mm512_set1_epi64(1)), excess),
            _mm512_min_epi64(m.shift, most)};
  }
  DEGREEQUANT_INLINE static Multipliers multipliers(Vector mantissa, Vector shift) noexcept {
    return {avx512::widen(_mm512_castsi512_si256(mantissa), _mm512_castsi512_si256(shift)),
            avx512::widen(_mm512_extracti64x4_epi64(mantissa, 1), _mm512_extracti64x4_epi64(shift, 1))};
  }
  DEGREEQUANT_INLINE static Vector requantized(Vector acc, const Multipliers& m, Vector addend, Clamp clamp) noexcept {
    return requantize16(acc, m, addend, clamp);
  }
  DEGREEQUANT_INLINE static void store_multipliers(const Multipliers& m, int32_t* mantissa, int32_t* shift) noexcept {
    const auto join = [](__m512i low, __m512i high) DEGREEQUANT_INLINE_LAMBDA {
      return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(low)), _mm512_cvtepi64_epi32(high), 1);
    };
    store(mantissa, join(m.low.mantissa, m.high.mantissa));
    store(shift, join(m.low.shift, m.high.shift));
  }

  // The codes of a rule's columns from `col` on, whose multipliers are given.
  DEGREEQUANT_INLINE static Vector codes_with(Vector acc, const Multipliers& m, const Requantize& rule, int64_t col,
                                              int64_t count) noexcept {
    const auto half = [&](__m256i acc8, Multiplier8 m8, int64_t first) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t* biases = rule.prepared.bias + col + first;
      const __m512i bias = rule.prepared.bias == nullptr
                               ? _mm512_set1_epi64(1 << (kAddendBits - 1))
                               : _mm512_maskz_loadu_epi64(static_cast<__mmask8>(first_lanes(count - first)), biases);
      const __m512i rounding = _mm512_sllv_epi64(bias, _mm512_sub_epi64(m8.shift, _mm512_set1_epi64(kAddendBits)));
      const __m512i product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(acc8), m8.mantissa);
      return _mm512_cvtsepi64_epi32(shift_rounded(_mm512_add_epi64(product, rounding), m8.shift));
    };
    const __m256i low = half(_mm512_castsi512_si256(acc), m.low, 0), high = half(_mm512_extracti64x4_epi64(acc, 1), m.high, 8);
    const Vector steps = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    const Vector least = set(rule.clamp.q_min - rule.clamp.zero_point), most = set(rule.clamp.q_max - rule.clamp.zero_point);
    return add(_mm512_max_epi32(_mm512_min_epi32(steps, most), least), set(rule.clamp.zero_point));
  }

  // from_real(1 / total) in each lane, or 0; totals are below 2^46.
  DEGREEQUANT_INLINE static void store_reciprocals(const int64_t* totals, int32_t* mantissas, int32_t* shifts) noexcept {
    for (int64_t i = 0; i < kLanes; i += 8) {
      const __m512i total = _mm512_loadu_si512(totals + i);
      const __mmask8 some = _mm512_test_epi64_mask(total, total);
      const __m512i bits = _mm512_castpd_si512(_mm512_div_pd(_mm512_set1_pd(1.0), _mm512_cvtepi64_pd(total)));
      const __m512i fraction =
          _mm512_ternarylogic_epi64(bits, _mm512_set1_epi64((int64_t{1} << 52) - 1), _mm512_set1_epi64(int64_t{1} << 52),
                                    0xea);  // bits & the first, | the second
      const __m512i rounded = _mm512_srli_epi64(_mm512_add_epi64(fraction, _mm512_set1_epi64(1 << 21)), 22);
      const __mmask8 carry = _mm512_cmpeq_epi64_mask(rounded, _mm512_set1_epi64(int64_t{1} << 31));
      const __m512i mantissa = _mm512_mask_mov_epi64(rounded, carry, _mm512_set1_epi64(1 << 30));
      const __m512i shift = _mm512_sub_epi64(_mm512_set1_epi64(31 + 1022), _mm512_srli_epi64(bits, 52));
      const __m512i carried = _mm512_mask_sub_epi64(shift, carry, shift, _mm512_set1_epi64(1));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(mantissas + i), _mm512_maskz_cvtepi64_epi32(some, mantissa));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(shifts + i), _mm512_maskz_cvtepi64_epi32(some, carried));
    }
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
