// What the AVX2 kernels share: four 64-bit lanes, and loading and storing eight codes. AVX2 has no masked loads of bytes.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace degreequant::avx2 {

constexpr int64_t kLanes = 8;

// The first `count` of eight lanes, for masked 32-bit loads.
DEGREEQUANT_INLINE __m256i first_lanes(int64_t count) noexcept {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count < 8 ? count : 8)), lane);
}

// Four 64-bit lanes (exact.h). AVX2 has no arithmetic shift of them and no minimum; the few instructions that make up for them are here.
struct Wide {
  static constexpr int64_t kLanes = 4;
  using Vector = __m256i;
  using Half = __m128i;
  using Whole = __m256i;

  DEGREEQUANT_INLINE static Vector set(int64_t value) noexcept { return _mm256_set1_epi64x(value); }
  DEGREEQUANT_INLINE static Vector load(const int64_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  DEGREEQUANT_INLINE static Vector load_some(const int64_t* p, int64_t count) noexcept {
    return _mm256_maskload_epi64(reinterpret_cast<const long long*>(p), widen(low(first_lanes(count))));
  }
  DEGREEQUANT_INLINE static Half load_some(const int32_t* p, int64_t count) noexcept {
    return _mm_maskload_epi32(p, low(first_lanes(count)));
  }
  DEGREEQUANT_INLINE static void store(int64_t* p, Vector v) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

  DEGREEQUANT_INLINE static Half low(Whole v) noexcept { return _mm256_castsi256_si128(v); }
  DEGREEQUANT_INLINE static Half high(Whole v) noexcept { return _mm256_extracti128_si256(v, 1); }
  DEGREEQUANT_INLINE static Vector widen(Half v) noexcept { return _mm256_cvtepi32_epi64(v); }
  // Lanes that fit 32 bits.
  DEGREEQUANT_INLINE static Whole narrow(Vector low, Vector high) noexcept {
    const __m256i halves = _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high), 0x88));
    return _mm256_permute4x64_epi64(halves, 0xd8);
  }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm256_add_epi64(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_epi64(a, b); }
  // Of lanes that fit 32 bits.
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return _mm256_mul_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector bit_and(Vector a, Vector b) noexcept { return _mm256_and_si256(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, Vector places) noexcept { return _mm256_sllv_epi64(v, places); }
  template <int kPlaces>
  DEGREEQUANT_INLINE static Vector shift_right(Vector v) noexcept {
    return _mm256_srli_epi64(v, kPlaces);
  }
  DEGREEQUANT_INLINE static Vector where_greater(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi64(a, b));
  }
  DEGREEQUANT_INLINE static bool any_greater(Vector a, Vector b) noexcept {
    const Vector greater = _mm256_cmpgt_epi64(a, b);
    return _mm256_testz_si256(greater, greater) == 0;
  }
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept { return where_greater(a, b, b, a); }
  DEGREEQUANT_INLINE static Vector limited(Vector v, int64_t low, int64_t high) noexcept {
    const Vector at_most = minimum(v, set(high)), least = set(low);
    return where_greater(least, at_most, least, at_most);
  }

  // The bits of the float64 nearest to 1 / v, 0 <= v < 2^52: v becomes one in the low bits of 2^52.
  DEGREEQUANT_INLINE static Vector reciprocal(Vector v) noexcept {
    const __m256d magic = _mm256_set1_pd(0x1p52);
    const __m256d real = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(v, _mm256_castpd_si256(magic))), magic);
    return _mm256_castpd_si256(_mm256_div_pd(_mm256_set1_pd(1.0), real));
  }

  // Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
  // go down instead, and it is not positive with its half. The arithmetic shift is one of value + 2^63, from which 2^63 is taken back.
  DEGREEQUANT_INLINE static Vector shift_rounded(Vector value, Vector shift) noexcept {
    const Vector is_high = _mm256_cmpgt_epi64(value, _mm256_setzero_si256());  // -1
    const Vector raised = add(subtract(value, is_high), set(INT64_MAX));
    return subtract(_mm256_srlv_epi64(raised, shift), _mm256_srlv_epi64(set(INT64_MIN), shift));
  }

  // Steps of the output as codes.
  DEGREEQUANT_INLINE static Whole codes(Vector low, Vector high, Clamp clamp) noexcept {
    const auto half = [&](Vector steps)
                          DEGREEQUANT_INLINE_LAMBDA { return limited(add(steps, set(clamp.zero_point)), clamp.q_min, clamp.q_max); };
    return narrow(half(low), half(high));
  }
};

// Sixteen codes as words.
template <bool kSigned>
DEGREEQUANT_INLINE __m256i widen_bytes(__m128i bytes) noexcept {
  return kSigned ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

// Two vectors of even columns and two of odd ones, in the order of the columns.
DEGREEQUANT_INLINE void interleave(__m256i acc[4]) noexcept {
  const __m256i even[2] = {acc[0], acc[1]};
  const __m256i odd[2] = {acc[2], acc[3]};
  for (int i = 0; i < 2; ++i) {
    const __m256i low = _mm256_unpacklo_epi32(even[i], odd[i]);
    const __m256i high = _mm256_unpackhi_epi32(even[i], odd[i]);
    acc[2 * i] = _mm256_permute2x128_si256(low, high, 0x20);
    acc[2 * i + 1] = _mm256_permute2x128_si256(low, high, 0x31);
  }
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
