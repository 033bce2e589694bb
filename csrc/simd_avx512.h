// What the AVX-512 kernels share: eight 64-bit lanes, and loading and storing sixteen codes.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace degreequant::avx512 {

constexpr int64_t kLanes = 16;

// The first `count` of up to 64 lanes.
DEGREEQUANT_INLINE uint64_t first_lanes(int64_t count) noexcept {
  return count <= 0 ? 0 : count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Eight 64-bit lanes (exact.h).
struct Wide {
  static constexpr int64_t kLanes = 8;
  using Vector = __m512i;
  using Half = __m256i;
  using Whole = __m512i;

  DEGREEQUANT_INLINE static Vector set(int64_t value) noexcept { return _mm512_set1_epi64(value); }
  DEGREEQUANT_INLINE static Vector load(const int64_t* p) noexcept { return _mm512_loadu_si512(p); }
  DEGREEQUANT_INLINE static Vector load_some(const int64_t* p, int64_t count) noexcept {
    return _mm512_maskz_loadu_epi64(static_cast<__mmask8>(first_lanes(count)), p);
  }
  DEGREEQUANT_INLINE static Half load_some(const int32_t* p, int64_t count) noexcept {
    return _mm256_maskz_loadu_epi32(static_cast<__mmask8>(first_lanes(count)), p);
  }
  DEGREEQUANT_INLINE static void store(int64_t* p, Vector v) noexcept { _mm512_storeu_si512(p, v); }

  DEGREEQUANT_INLINE static Half low(Whole v) noexcept { return _mm512_castsi512_si256(v); }
  DEGREEQUANT_INLINE static Half high(Whole v) noexcept { return _mm512_extracti64x4_epi64(v, 1); }
  DEGREEQUANT_INLINE static Vector widen(Half v) noexcept { return _mm512_cvtepi32_epi64(v); }
  // Lanes that fit 32 bits.
  DEGREEQUANT_INLINE static Whole narrow(Vector low, Vector high) noexcept {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(low)), _mm512_cvtepi64_epi32(high), 1);
  }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm512_add_epi64(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_epi64(a, b); }
  // Of lanes that fit 32 bits.
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm512_mul_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector bit_and(Vector a, Vector b) noexcept { return _mm512_and_si512(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, Vector places) noexcept { return _mm512_sllv_epi64(v, places); }
  template <int kPlaces>
  DEGREEQUANT_INLINE static Vector shift_right(Vector v) noexcept {
    return _mm512_srli_epi64(v, kPlaces);
  }
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept { return _mm512_min_epi64(a, b); }
  DEGREEQUANT_INLINE static Vector limited(Vector v, int64_t low, int64_t high) noexcept {
    return _mm512_max_epi64(_mm512_min_epi64(v, set(high)), set(low));
  }
  DEGREEQUANT_INLINE static Vector where_greater(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return _mm512_mask_mov_epi64(no, _mm512_cmpgt_epi64_mask(a, b), yes);
  }
  DEGREEQUANT_INLINE static bool any_greater(Vector a, Vector b) noexcept { return _mm512_cmpgt_epi64_mask(a, b) != 0; }

  // The bits of the float64 nearest to 1 / v.
  DEGREEQUANT_INLINE static Vector reciprocal(Vector v) noexcept {
    return _mm512_castpd_si512(_mm512_div_pd(_mm512_set1_pd(1.0), _mm512_cvtepi64_pd(v)));
  }

  // Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
  // go down instead, and it is not positive with its half.
  DEGREEQUANT_INLINE static Vector shift_rounded(Vector value, Vector shift) noexcept {
    const __mmask8 is_low = _mm512_cmple_epi64_mask(value, _mm512_setzero_si512());
    return _mm512_srav_epi64(_mm512_mask_sub_epi64(value, is_low, value, set(1)), shift);
  }

  // Steps of the output as codes.
  DEGREEQUANT_INLINE static Whole codes(Vector low, Vector high, Clamp clamp) noexcept {
    const Whole least = _mm512_set1_epi32(clamp.q_min - clamp.zero_point), most = _mm512_set1_epi32(clamp.q_max - clamp.zero_point);
    const Half steps[2] = {_mm512_cvtsepi64_epi32(low), _mm512_cvtsepi64_epi32(high)};  // the extremes where they do not fit
    const Whole whole = _mm512_inserti64x4(_mm512_castsi256_si512(steps[0]), steps[1], 1);
    return _mm512_add_epi32(_mm512_max_epi32(_mm512_min_epi32(whole, most), least), _mm512_set1_epi32(clamp.zero_point));
  }
};

// 32 codes as words.
template <bool kSigned>
DEGREEQUANT_INLINE __m512i widen_bytes(__m256i bytes) noexcept {
  return kSigned ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
}

// A vector of even columns and one of odd ones, in the order of the columns.
DEGREEQUANT_INLINE void interleave(__m512i& even, __m512i& odd) noexcept {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  const __m512i evens = even;
  even = _mm512_permutex2var_epi32(evens, low, odd);
  odd = _mm512_permutex2var_epi32(evens, high, odd);
}

// Columns of two rows, of which unpacking has put the first and third eight into one vector and the others into another, in order.
DEGREEQUANT_INLINE void order_unpacked(__m512i& low, __m512i& high) noexcept {
  const __m512i first = low;
  low = _mm512_inserti64x4(first, _mm512_castsi512_si256(high), 1);
  high = _mm512_shuffle_i64x2(first, high, 0xee);
}

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
