// AVX2 as the kernels use it that treat each code by itself: eight int32 lanes, whatever the codes' type.
#pragma once

#include "attention.h"
#include "sums_avx2.h"

namespace degreequant::avx2 {

struct Reciprocals {
  __m256i mantissa;
  __m256i shift;
};

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
  // The first `count` of the bytes at p with some bits flipped, as signed numbers.
  DEGREEQUANT_INLINE static Vector widen_flipped(const uint8_t* p, int64_t count, int32_t flip) noexcept {
    const __m128i bytes = load_bytes(p, count < kLanes ? count : kLanes);
    return _mm256_cvtepi8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(flip))));
  }
  // Between 0 and `most`.
  DEGREEQUANT_INLINE static Vector limited(Vector v, int32_t most) noexcept {
    return _mm256_max_epi32(_mm256_min_epi32(v, set(most)), set(0));
  }
  DEGREEQUANT_INLINE static Vector permute(Vector v, Vector index) noexcept { return _mm256_permutevar8x32_epi32(v, index); }
  // Lane i gets what lane i + step has, from the first again behind the last.
  DEGREEQUANT_INLINE static Vector rotate(Vector v, int32_t step) noexcept {
    return permute(v, add(set(step), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
  }
  // The first `count` lanes of v, and the others of `rest`.
  DEGREEQUANT_INLINE static Vector keep(Vector v, int64_t count, Vector rest) noexcept {
    return _mm256_blendv_epi8(rest, v, first_lanes(count));
  }
  DEGREEQUANT_INLINE static Vector load_some(const int32_t* values, int64_t count) noexcept {
    return _mm256_maskload_epi32(values, first_lanes(count));
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
  DEGREEQUANT_INLINE static void store_multipliers(const Multipliers& m, int32_t* mantissa, int32_t* shift) noexcept {
    store(mantissa, join8(m.low.mantissa, m.high.mantissa));
    store(shift, _mm256_set_m128i(m.high.shift, m.low.shift));
  }

  // The codes of a rule's columns from `col` on, whose multipliers are given.
  DEGREEQUANT_INLINE static Vector codes_with(Vector acc, const Multipliers& m, const Requantize& rule, int64_t col,
                                              int64_t count) noexcept {
    const auto half = [&](__m128i acc4, Multiplier4 m4, int64_t first) DEGREEQUANT_INLINE_LAMBDA {
      __m256i bias = _mm256_set1_epi64x(1 << (kAddendBits - 1));
      if (rule.prepared.bias != nullptr) {
        const __m256i mask = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(first_lanes(count - first)));
        bias = _mm256_maskload_epi64(reinterpret_cast<const long long*>(rule.prepared.bias + col + first), mask);
      }
      const __m256i shift = _mm256_cvtepi32_epi64(m4.shift);
      const __m256i rounding = _mm256_sllv_epi64(bias, _mm256_sub_epi64(shift, _mm256_set1_epi64x(kAddendBits)));
      const __m256i product = _mm256_mul_epi32(_mm256_cvtepi32_epi64(acc4), m4.mantissa);
      const __m256i steps = shift_rounded(_mm256_add_epi64(product, rounding), shift);
      return limit_to(_mm256_add_epi64(steps, _mm256_set1_epi64x(rule.clamp.zero_point)), rule.clamp.q_min, rule.clamp.q_max);
    };
    return join8(half(_mm256_castsi256_si128(acc), m.low, 0), half(_mm256_extracti128_si256(acc, 1), m.high, 4));
  }

  // from_real(1 / total) in each lane, or 0; totals are below 2^46.
  DEGREEQUANT_INLINE static void store_reciprocals(const int64_t* totals, int32_t* mantissas, int32_t* shifts) noexcept {
    const auto four = [&](int64_t i) DEGREEQUANT_INLINE_LAMBDA {
      const __m256i total = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(totals + i));
      const __m256d magic = _mm256_set1_pd(0x1p52);  // a float64 whose last bit counts 1
      const __m256d real = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(total, _mm256_castpd_si256(magic))), magic);
      const __m256i bits = _mm256_castpd_si256(_mm256_div_pd(_mm256_set1_pd(1.0), real));
      const __m256i fraction =
          _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi64x((int64_t{1} << 52) - 1)), _mm256_set1_epi64x(int64_t{1} << 52));
      const __m256i rounded = _mm256_srli_epi64(_mm256_add_epi64(fraction, _mm256_set1_epi64x(1 << 21)), 22);
      const __m256i carry = _mm256_cmpeq_epi64(rounded, _mm256_set1_epi64x(int64_t{1} << 31));  // -1
      const __m256i none = _mm256_cmpeq_epi64(total, _mm256_setzero_si256());
      const __m256i mantissa = _mm256_blendv_epi8(rounded, _mm256_set1_epi64x(1 << 30), carry);
      const __m256i shift = _mm256_add_epi64(_mm256_sub_epi64(_mm256_set1_epi64x(31 + 1022), _mm256_srli_epi64(bits, 52)), carry);
      return Reciprocals{_mm256_andnot_si256(none, mantissa), _mm256_andnot_si256(none, shift)};
    };
    const Reciprocals low = four(0), high = four(4);
    store(mantissas, join8(low.mantissa, high.mantissa));
    store(shifts, join8(low.shift, high.shift));
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
