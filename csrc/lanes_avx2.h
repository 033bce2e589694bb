// AVX2 as the kernels use it that treat each code by itself: eight int32 lanes, whatever the codes' type.
#pragma once

#include "exact_lanes.h"
#include "sums_avx2.h"

namespace degreequant::avx2 {

// A table of a byte's length. It stays in memory: the registers hold an eighth of it.
class Table {
 public:
  static constexpr int64_t kEntries = 256;

  DEGREEQUANT_INLINE Table(const int32_t* entries, int64_t) noexcept : entries_(entries) {}
  DEGREEQUANT_INLINE __m256i look_up(__m256i index) const noexcept { return Simd::look_up(entries_, index); }

 private:
  const int32_t* entries_;
};

struct Lanes : ExactLanes<Simd, Wide> {
  using Estimates = EstimateLanes;
  using Table = avx2::Table;
  using ByteTable = void;  // such a table would not fit its registers

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
  // Stores four vectors of codes as bytes: packed within the halves of the vectors, which then go to their places.
  DEGREEQUANT_INLINE static void store_bytes(uint8_t* p, const Vector codes[4]) noexcept {
    const Vector low = _mm256_set1_epi16(255);
    const Vector words[2] = {_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3])};
    const Vector bytes = _mm256_packus_epi16(_mm256_and_si256(words[0], low), _mm256_and_si256(words[1], low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), permute(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
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
};

}  // namespace degreequant::avx2
