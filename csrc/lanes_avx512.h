// AVX-512 as the kernels use it that treat each code by itself: sixteen int32 lanes, whatever the codes' type.
#pragma once

#include "exact_lanes.h"
#include "sums_avx512.h"
#include "table_avx512.h"

namespace degreequant::avx512 {

struct Lanes : ExactLanes<Simd, Wide> {
  using Estimates = EstimateLanes;
  using Table = avx512::Table;
  using ByteTable = avx512::ByteTable;

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
  // Stores four vectors of codes as bytes: packed within the quarters of the vectors, which then go to their places.
  DEGREEQUANT_INLINE static void store_bytes(uint8_t* p, const Vector codes[4]) noexcept {
    const Vector low = _mm512_set1_epi16(255);
    const Vector words[2] = {_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3])};
    const Vector bytes = _mm512_packus_epi16(_mm512_and_si512(words[0], low), _mm512_and_si512(words[1], low));
    _mm512_storeu_si512(p, permute(bytes, _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
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
};

}  // namespace degreequant::avx512
