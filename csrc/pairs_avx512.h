// AVX-512 as attention uses it: blocks of packed codes, of two rows at a time, multiplied by two weights in the halves of each lane.
#pragma once

#include "column_blocks.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {

// A loader gives the codes of a tile of two rows, plus kOffset, as words side by side in two vectors. Until order() brings sums of them
// into the order of the columns, lane i of vector v is column(v, i) of the tile.

template <bool kSigned>
struct PairedBytes {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTileColumns;

  DEGREEQUANT_INLINE static constexpr int64_t column(int v, int64_t i) noexcept { return 8 * v + (i < 8 ? i : i + 8); }

  DEGREEQUANT_INLINE static __m256i load_bytes(const uint8_t* p, uint64_t mask) noexcept {
    return _mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), p);
  }
  DEGREEQUANT_INLINE static void load(const uint8_t* a, const uint8_t* b, uint64_t mask, __m512i words[2]) noexcept {
    const __m256i x = load_bytes(a, mask), y = load_bytes(b, mask);
    words[0] = widen_bytes<kSigned>(_mm256_unpacklo_epi8(x, y));
    words[1] = widen_bytes<kSigned>(_mm256_unpackhi_epi8(x, y));
  }

  DEGREEQUANT_INLINE static void order(__m512i acc[2]) noexcept { order_unpacked(acc[0], acc[1]); }
};

// Even columns in one vector, odd columns in the other. Signed codes are offset by 8, which costs no more than clearing the other nibble.
template <bool kSigned>
struct PairedNibbles {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTileColumns / 2;

  DEGREEQUANT_INLINE static constexpr int64_t column(int v, int64_t i) noexcept { return v + 2 * i; }

  DEGREEQUANT_INLINE static __m512i low_nibbles(__m256i bytes) noexcept {
    const __m256i nibbles = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    return _mm512_cvtepu8_epi16(kSigned ? _mm256_xor_si256(nibbles, _mm256_set1_epi8(kOffset)) : nibbles);
  }

  DEGREEQUANT_INLINE static void load(const uint8_t* a, const uint8_t* b, uint64_t mask, __m512i words[2]) noexcept {
    const __m128i x = _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), a), y = _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), b);
    const __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(x, y)), _mm_unpackhi_epi8(x, y), 1);
    words[0] = low_nibbles(bytes);
    words[1] = low_nibbles(_mm256_srli_epi16(bytes, 4));
  }

  DEGREEQUANT_INLINE static void order(__m512i acc[2]) noexcept { interleave(acc[0], acc[1]); }
};

struct PairSimd {
  static constexpr int kTileVectors = 2;
  template <bool kSigned>
  using Bytes = PairedBytes<kSigned>;
  template <bool kSigned>
  using Nibbles = PairedNibbles<kSigned>;

  // Columns [first, first + count) of every row of a matrix.
  template <typename Loader, int kTiles>
  class Block {
   public:
    static constexpr int kVectors = kTiles * kTileVectors;

    DEGREEQUANT_INLINE Block(Codes x, int64_t first, int64_t count) noexcept
        : rows_(x, first, count), mask_(first_lanes(row_bytes(x.type, count))) {}
    DEGREEQUANT_INLINE void prefetch(int64_t row) const noexcept { rows_.prefetch(row); }

    // Adds to each vector v its codes of two rows times the halves of factors[v].
    DEGREEQUANT_INLINE void add(int64_t a, int64_t b, const __m512i factors[kVectors], __m512i acc[kVectors]) const noexcept {
      const uint8_t* p = rows_.row(a);
      const uint8_t* q = rows_.row(b);
      unrolled<kTiles>([&](auto t) DEGREEQUANT_INLINE_LAMBDA {
        constexpr int64_t kFirst = t * Loader::kTileBytes;
        __m512i words[kTileVectors];
        Loader::load(p + kFirst, q + kFirst, mask_ >> kFirst, words);
        unrolled<kTileVectors>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
          constexpr int v = t * kTileVectors + i;
          acc[v] = _mm512_dpwssd_epi32(acc[v], words[i], factors[v]);
        });
      });
    }

   private:
    ColumnBlock rows_;
    uint64_t mask_;  // of the block's bytes
  };
};

}  // namespace degreequant::avx512
