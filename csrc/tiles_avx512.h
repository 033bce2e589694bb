// Weighted sums of rows of codes, sixteen channels to an accumulator. The rows are read packed, as they lie in memory.
#pragma once

#include "simd_avx512.h"

namespace degreequant::avx512 {

constexpr int64_t kTile = 32;  // channels in two accumulators
constexpr int64_t kMaxTiles = 2;

// A loader gives a tile's codes, plus kOffset, as int32 in two vectors, of which only the low 16 bits count. channel() says where the
// channels of lane 0 and lane 1 of a vector lie in the tile; order() puts accumulators in channel order.

template <bool kSigned>
struct ByteLoader {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTile;

  DEGREEQUANT_INLINE static __m512i widen(__m128i bytes) noexcept {
    return kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  }

  template <bool kMasked>
  DEGREEQUANT_INLINE static void load(const uint8_t* p, uint32_t mask, __m512i codes[2]) noexcept {
    if constexpr (kMasked) {
      codes[0] = widen(_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), p));
      codes[1] = widen(_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask >> 16), p + 16));
    } else {
      codes[0] = widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      codes[1] = widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)));
    }
  }

  DEGREEQUANT_INLINE static void order(__m512i[2]) noexcept {}
};

// Even channels in one vector, odd channels in the other. Signed codes are offset by 8, which costs no more than clearing the other nibble.
template <bool kSigned>
struct NibbleLoader {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTile / 2;

  DEGREEQUANT_INLINE static __m512i low_nibbles(__m128i bytes) noexcept {
    const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm512_cvtepu8_epi32(kSigned ? _mm_xor_si128(nibbles, _mm_set1_epi8(8)) : nibbles);
  }

  template <bool kMasked>
  DEGREEQUANT_INLINE static void load(const uint8_t* p, uint32_t mask, __m512i codes[2]) noexcept {
    const __m128i bytes =
        kMasked ? _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), p) : _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    codes[0] = low_nibbles(bytes);
    codes[1] = low_nibbles(_mm_srli_epi16(bytes, 4));
  }

  DEGREEQUANT_INLINE static void order(__m512i acc[2]) noexcept {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const __m512i even = acc[0];
    acc[0] = _mm512_permutex2var_epi32(even, low, acc[1]);
    acc[1] = _mm512_permutex2var_epi32(even, high, acc[1]);
  }
};

// Where a block of channels lies in each row, and which of its bytes count.
template <typename Loader, bool kMasked>
struct Block {
  static constexpr bool kIsMasked = kMasked;
  const uint8_t* base;  // of row 0
  int64_t stride;
  uint64_t mask;

  DEGREEQUANT_INLINE Block(Codes x, int64_t first, int64_t count) noexcept
      : base(x.data + row_bytes(x.type, first)), stride(row_bytes(x.type, x.cols)), mask(first_lanes(row_bytes(x.type, count))) {}
};

// Sums of kTiles tiles. They may wrap around on their way: the result, offset taken back, fits 32 bits and has not.
template <typename Loader, int kTiles>
struct Sums {
  __m512i acc[2 * kTiles] = {};

  // Adds factor(v) times the codes at p, where v numbers the accumulators; a factor is an int16 in the low half of each lane, and the
  // upper half, which meets the sign bits of the code, is 0.
  template <bool kMasked, typename Factor>
  DEGREEQUANT_INLINE void add(const uint8_t* p, uint64_t mask, Factor factor) noexcept {
    for (int t = 0; t < kTiles; ++t) {
      __m512i codes[2];
      Loader::template load<kMasked>(p + t * Loader::kTileBytes, static_cast<uint32_t>(mask >> (t * Loader::kTileBytes)), codes);
      for (int i = 2 * t; i < 2 * t + 2; ++i) acc[i] = _mm512_dpwssd_epi32(acc[i], codes[i % 2], factor(i));
    }
  }
};

}  // namespace degreequant::avx512
