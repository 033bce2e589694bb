// What the AVX-512 kernels share: the rounding rule on sixteen accumulators, and storing sixteen codes.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace degreequant::avx512 {

constexpr int64_t kLanes = 16;

// The first `count` of up to 64 lanes.
DEGREEQUANT_INLINE uint64_t first_lanes(int64_t count) noexcept {
  return count <= 0 ? 0 : count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Eight multipliers in 64-bit lanes.
struct Multiplier8 {
  __m512i mantissa;
  __m512i shift;
};

// Rounds half away from zero; every shift is at least 1.
DEGREEQUANT_INLINE __m512i round_shift(__m512i value, __m512i shift) noexcept {
  const __m512i half = _mm512_sllv_epi64(_mm512_set1_epi64(1), _mm512_sub_epi64(shift, _mm512_set1_epi64(1)));
  const __m512i minus_one_if_negative = _mm512_srai_epi64(value, 63);
  return _mm512_srav_epi64(_mm512_add_epi64(_mm512_add_epi64(value, half), minus_one_if_negative), shift);
}

DEGREEQUANT_INLINE Multiplier8 broadcast(Multiplier m) noexcept { return {_mm512_set1_epi64(m.mantissa), _mm512_set1_epi64(m.shift)}; }

DEGREEQUANT_INLINE Multiplier8 widen(__m256i mantissa, __m256i shift) noexcept {
  return {_mm512_cvtepi32_epi64(mantissa), _mm512_cvtepi32_epi64(shift)};
}

DEGREEQUANT_INLINE Multiplier8 combine(Multiplier8 a, Multiplier8 b) noexcept {
  const __m512i product = _mm512_mul_epi32(a.mantissa, b.mantissa);
  return {round_shift(product, _mm512_set1_epi64(31)), _mm512_add_epi64(_mm512_add_epi64(a.shift, b.shift), _mm512_set1_epi64(-31))};
}

DEGREEQUANT_INLINE Multiplier8 bounded(Multiplier8 m) noexcept {
  const __m512i most = _mm512_set1_epi64(kMaxShift);
  const __m512i least = _mm512_set1_epi64(kAddendBits);
  // Shifting an int32 by 33 rounds to 0, as any larger excess does.
  const __m512i excess = _mm512_min_epi64(_mm512_sub_epi64(m.shift, most), _mm512_set1_epi64(33));
  const __m512i missing = _mm512_min_epi64(_mm512_sub_epi64(least, m.shift), _mm512_set1_epi64(31));
  const __m512i limit = _mm512_set1_epi64(kMaxMantissa);
  const __m512i scaled = _mm512_sllv_epi64(m.mantissa, missing);
  const __m512i limited = _mm512_max_epi64(_mm512_min_epi64(scaled, limit), _mm512_sub_epi64(_mm512_setzero_si512(), limit));
  __m512i mantissa = _mm512_mask_mov_epi64(m.mantissa, _mm512_cmpgt_epi64_mask(m.shift, most), round_shift(m.mantissa, excess));
  mantissa = _mm512_mask_mov_epi64(mantissa, _mm512_cmplt_epi64_mask(m.shift, least), limited);
  return {mantissa, _mm512_max_epi64(_mm512_min_epi64(m.shift, most), least)};
}

// Sixteen channels' multipliers, bounded, for one row.
struct Multiplier16 {
  Multiplier8 low;
  Multiplier8 high;
};

DEGREEQUANT_INLINE __m512i load_addend16(const Requantize& rule, int64_t channel, __mmask16 mask) noexcept {
  return rule.addend == nullptr ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(mask, rule.addend + channel);
}

// The codes of products, whose shifts and addends are given; addends in 32-bit lanes.
DEGREEQUANT_INLINE __m256i codes_of_products8(__m512i product, __m512i shift, __m256i addend, Clamp clamp) noexcept {
  const __m512i bias = _mm512_sllv_epi64(_mm512_cvtepi32_epi64(addend), _mm512_sub_epi64(shift, _mm512_set1_epi64(kAddendBits)));
  const __m512i value = round_shift(_mm512_add_epi64(product, bias), shift);
  const __m512i code = _mm512_add_epi64(value, _mm512_set1_epi64(clamp.zero_point));
  const __m512i at_least = _mm512_max_epi64(code, _mm512_set1_epi64(clamp.q_min));
  return _mm512_cvtepi64_epi32(_mm512_min_epi64(at_least, _mm512_set1_epi64(clamp.q_max)));
}

DEGREEQUANT_INLINE __m256i requantize8(__m256i acc, Multiplier8 m, __m256i addend, Clamp clamp) noexcept {
  return codes_of_products8(_mm512_mul_epi32(_mm512_cvtepi32_epi64(acc), m.mantissa), m.shift, addend, clamp);
}

DEGREEQUANT_INLINE __m512i requantize16(__m512i acc, const Multiplier16& m, __m512i addend, Clamp clamp) noexcept {
  const __m256i low = requantize8(_mm512_castsi512_si256(acc), m.low, _mm512_castsi512_si256(addend), clamp);
  const __m256i high = requantize8(_mm512_extracti64x4_epi64(acc, 1), m.high, _mm512_extracti64x4_epi64(addend, 1), clamp);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

DEGREEQUANT_INLINE bool is_byte(CodeType type) noexcept { return type == CodeType::i8 || type == CodeType::u8; }

// Sixteen codes from column `col` on, an even number; 0 in lanes beyond the first `count`, which are not read.
DEGREEQUANT_INLINE __m512i load16(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
  if (count >= kLanes && is_byte(type)) [[likely]] {  // the usual case, without a jump for the sign
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + col));
    const int32_t offset = type == CodeType::i8 ? 128 : 0;
    const __m128i raised = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(offset)));
    return _mm512_sub_epi32(_mm512_cvtepu8_epi32(raised), _mm512_set1_epi32(offset));
  }
  const __mmask16 mask = static_cast<__mmask16>(first_lanes(count));
  switch (type) {
    case CodeType::i4:
    case CodeType::u4: {
      const __mmask16 bytes = static_cast<__mmask16>(first_lanes((count < kLanes ? count + 1 : kLanes) / 2));
      const __m512i pairs = _mm512_cvtepu8_epi64(_mm_maskz_loadu_epi8(bytes, row + col / 2));
      const __m512i nibbles = _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi64(pairs, 28)), _mm512_set1_epi32(15));
      if (type == CodeType::u4) return nibbles;
      const __m512i sign = _mm512_set1_epi32(8);
      return _mm512_sub_epi32(_mm512_xor_si512(nibbles, sign), sign);
    }
    case CodeType::i8:
      return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, row + col));
    case CodeType::u8:
      return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, row + col));
    case CodeType::i16:
      return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, row + 2 * col));
    default:
      return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row + 2 * col));
  }
}

// Stores the first `count` of sixteen codes from column `col` on, an even number.
DEGREEQUANT_INLINE void store16(CodeType type, uint8_t* row, int64_t col, int64_t count, __m512i codes) noexcept {
  if (count >= kLanes && is_byte(type)) [[likely]] {
    return _mm_storeu_si128(reinterpret_cast<__m128i*>(row + col), _mm512_cvtepi32_epi8(codes));
  }
  const __mmask16 mask = static_cast<__mmask16>(first_lanes(count));
  switch (type) {
    case CodeType::i4:
    case CodeType::u4: {
      const __m128i nibbles = _mm512_cvtepi32_epi8(_mm512_maskz_and_epi32(mask, codes, _mm512_set1_epi32(15)));
      const __m128i pairs = _mm_or_si128(nibbles, _mm_srli_epi16(nibbles, 4));
      _mm_mask_storeu_epi8(row + col / 2, static_cast<__mmask16>(first_lanes((count + 1) / 2)), _mm_cvtepi16_epi8(pairs));
      return;
    }
    case CodeType::i8:
    case CodeType::u8:
      _mm_mask_storeu_epi8(row + col, mask, _mm512_cvtepi32_epi8(codes));
      return;
    case CodeType::i16:
    case CodeType::u16:
      _mm256_mask_storeu_epi16(row + 2 * col, mask, _mm512_cvtepi32_epi16(codes));
  }
}

}  // namespace degreequant::avx512
