// What the AVX2 kernels share: the rounding rule on eight accumulators, and storing eight codes. AVX2 has no masked loads of bytes, no
// arithmetic 64-bit shift and no 64-bit minimum; the few instructions that make up for them are here.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace degreequant::avx2 {

constexpr int64_t kLanes = 8;

// Four multipliers: mantissas in 64-bit lanes, shifts in 32-bit lanes.
struct Multiplier4 {
  __m256i mantissa;
  __m128i shift;
};

// Rounds half away from zero; every shift is in [1, 63].
DEGREEQUANT_INLINE __m256i round_shift(__m256i value, __m128i shift) noexcept {
  const __m256i count = _mm256_cvtepi32_epi64(shift);
  const __m256i half = _mm256_sllv_epi64(_mm256_set1_epi64x(1), _mm256_sub_epi64(count, _mm256_set1_epi64x(1)));
  const __m256i minus_one_if_negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), value);
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(value, half), minus_one_if_negative);
  // An arithmetic shift: shift the sign bit as well, then extend it.
  const __m256i sign = _mm256_srlv_epi64(_mm256_set1_epi64x(INT64_MIN), count);
  return _mm256_sub_epi64(_mm256_xor_si256(_mm256_srlv_epi64(sum, count), sign), sign);
}

DEGREEQUANT_INLINE __m256i limit_to(__m256i value, int64_t low, int64_t high) noexcept {
  const __m256i least = _mm256_set1_epi64x(low);
  const __m256i most = _mm256_set1_epi64x(high);
  const __m256i at_least = _mm256_blendv_epi8(value, least, _mm256_cmpgt_epi64(least, value));
  return _mm256_blendv_epi8(at_least, most, _mm256_cmpgt_epi64(at_least, most));
}

DEGREEQUANT_INLINE Multiplier4 combine(Multiplier4 a, Multiplier4 b) noexcept {
  const __m256i product = _mm256_mul_epi32(a.mantissa, b.mantissa);
  return {round_shift(product, _mm_set1_epi32(31)), _mm_add_epi32(_mm_add_epi32(a.shift, b.shift), _mm_set1_epi32(-31))};
}

DEGREEQUANT_INLINE Multiplier4 bounded(Multiplier4 m) noexcept {
  const __m128i most = _mm_set1_epi32(kMaxShift);
  const __m128i least = _mm_set1_epi32(kAddendBits);
  const __m128i one = _mm_set1_epi32(1);
  // Shifting an int32 by 33 rounds to 0, as any larger excess does. Lanes that need no shift are computed with some valid one, and dropped.
  const __m128i excess = _mm_max_epi32(_mm_min_epi32(_mm_sub_epi32(m.shift, most), _mm_set1_epi32(33)), one);
  const __m128i missing = _mm_max_epi32(_mm_min_epi32(_mm_sub_epi32(least, m.shift), _mm_set1_epi32(31)), one);
  const __m256i limited = limit_to(_mm256_sllv_epi64(m.mantissa, _mm256_cvtepi32_epi64(missing)), -kMaxMantissa, kMaxMantissa);
  const __m256i is_over = _mm256_cvtepi32_epi64(_mm_cmpgt_epi32(m.shift, most));
  const __m256i is_under = _mm256_cvtepi32_epi64(_mm_cmpgt_epi32(least, m.shift));
  const __m256i mantissa = _mm256_blendv_epi8(m.mantissa, round_shift(m.mantissa, excess), is_over);
  return {_mm256_blendv_epi8(mantissa, limited, is_under), _mm_max_epi32(_mm_min_epi32(m.shift, most), least)};
}

// The first `count` of eight lanes, for masked 32-bit loads.
DEGREEQUANT_INLINE __m256i first_lanes(int64_t count) noexcept {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count < 8 ? count : 8)), lane);
}

// Eight channels' multipliers, bounded, for one row.
struct Multiplier8 {
  Multiplier4 low;
  Multiplier4 high;
};

DEGREEQUANT_INLINE Multiplier8 widen(__m256i mantissa, __m256i shift) noexcept {
  return {{_mm256_cvtepi32_epi64(_mm256_castsi256_si128(mantissa)), _mm256_castsi256_si128(shift)},
          {_mm256_cvtepi32_epi64(_mm256_extracti128_si256(mantissa, 1)), _mm256_extracti128_si256(shift, 1)}};
}

DEGREEQUANT_INLINE __m256i load_addend8(const Requantize& rule, int64_t channel, int64_t count) noexcept {
  return rule.addend == nullptr ? _mm256_setzero_si256() : _mm256_maskload_epi32(rule.addend + channel, first_lanes(count));
}

// The codes of products, in 64-bit lanes; their shifts and addends in 32-bit lanes.
DEGREEQUANT_INLINE __m256i codes_of_products4(__m256i product, __m128i shift, __m128i addend, Clamp clamp) noexcept {
  const __m256i places = _mm256_cvtepi32_epi64(_mm_sub_epi32(shift, _mm_set1_epi32(kAddendBits)));
  const __m256i bias = _mm256_sllv_epi64(_mm256_cvtepi32_epi64(addend), places);
  const __m256i value = round_shift(_mm256_add_epi64(product, bias), shift);
  return limit_to(_mm256_add_epi64(value, _mm256_set1_epi64x(clamp.zero_point)), clamp.q_min, clamp.q_max);
}

DEGREEQUANT_INLINE __m256i requantize4(__m128i acc, Multiplier4 m, __m128i addend, Clamp clamp) noexcept {
  return codes_of_products4(_mm256_mul_epi32(_mm256_cvtepi32_epi64(acc), m.mantissa), m.shift, addend, clamp);
}

// The low halves of eight 64-bit lanes, in order.
DEGREEQUANT_INLINE __m256i join8(__m256i low, __m256i high) noexcept {
  const __m256i halves = _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high), 0x88));
  return _mm256_permute4x64_epi64(halves, 0xd8);
}

DEGREEQUANT_INLINE __m256i requantize8(__m256i acc, const Multiplier8& m, __m256i addend, Clamp clamp) noexcept {
  return join8(requantize4(_mm256_castsi256_si128(acc), m.low, _mm256_castsi256_si128(addend), clamp),
               requantize4(_mm256_extracti128_si256(acc, 1), m.high, _mm256_extracti128_si256(addend, 1), clamp));
}

// The low 16 bits of eight codes.
DEGREEQUANT_INLINE __m128i narrow8(__m256i codes) noexcept {
  const __m256i low = _mm256_shuffle_epi8(codes, _mm256_set1_epi64x(0x0d0c090805040100));
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(low, 0x08));
}

// The first `size` bytes at p, followed by zeros; those of a whole vector's codes, 4, 8 or 16, at once.
DEGREEQUANT_INLINE __m128i load_bytes(const uint8_t* p, int64_t size) noexcept {
  if (size == 8) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  if (size == 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if (size == 4) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm_cvtsi32_si128(word);
  }
  alignas(16) uint8_t bytes[16] = {};
  for (int64_t i = 0; i < size; ++i) bytes[i] = p[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

DEGREEQUANT_INLINE void store_bytes(uint8_t* p, int64_t size, __m128i packed) noexcept {
  if (size == 8) return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), packed);
  if (size == 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
  alignas(16) uint8_t bytes[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(bytes), packed);
  if (size == 4) {
    __builtin_memcpy(p, bytes, 4);
  } else {
    for (int64_t i = 0; i < size; ++i) p[i] = bytes[i];
  }
}

// Eight codes from column `col` on, an even number; 0 in lanes beyond the first `count`, which are not read.
DEGREEQUANT_INLINE __m256i load8(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
  const __m128i packed = load_bytes(row + row_bytes(type, col), row_bytes(type, count < kLanes ? count : kLanes));
  switch (type) {
    case CodeType::i4:
    case CodeType::u4: {
      const __m256i pairs = _mm256_cvtepu8_epi64(packed);
      const __m256i nibbles = _mm256_and_si256(_mm256_or_si256(pairs, _mm256_slli_epi64(pairs, 28)), _mm256_set1_epi32(15));
      if (type == CodeType::u4) return nibbles;
      const __m256i sign = _mm256_set1_epi32(8);
      return _mm256_sub_epi32(_mm256_xor_si256(nibbles, sign), sign);
    }
    case CodeType::i8:
      return _mm256_cvtepi8_epi32(packed);
    case CodeType::u8:
      return _mm256_cvtepu8_epi32(packed);
    case CodeType::i16:
      return _mm256_cvtepi16_epi32(packed);
    default:
      return _mm256_cvtepu16_epi32(packed);
  }
}

// Stores the first `count` of eight codes from column `col` on, an even number.
DEGREEQUANT_INLINE void store8(CodeType type, uint8_t* row, int64_t col, int64_t count, __m256i codes) noexcept {
  const int64_t kept = count < kLanes ? count : kLanes;
  __m128i packed = narrow8(_mm256_and_si256(codes, first_lanes(count)));
  if (type == CodeType::i4 || type == CodeType::u4) {
    const __m128i nibbles = _mm_and_si128(packed, _mm_set1_epi16(15));  // of channels 2i and 2i + 1 in each 32-bit lane
    const __m128i pairs = _mm_or_si128(nibbles, _mm_srli_epi32(nibbles, 12));
    packed = _mm_shuffle_epi8(pairs, _mm_set1_epi32(0x0c080400));
  } else if (type == CodeType::i8 || type == CodeType::u8) {
    packed = _mm_shuffle_epi8(packed, _mm_set1_epi64x(0x0e0c0a0806040200));
  }
  store_bytes(row + row_bytes(type, col), row_bytes(type, kept), packed);
}

}  // namespace degreequant::avx2
