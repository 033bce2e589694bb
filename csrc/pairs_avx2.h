// AVX2 as attention uses it: blocks of packed codes, of two rows at a time, multiplied by two weights in the halves of each lane.
#pragma once

#include "column_blocks.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {

// A loader gives the codes of a tile of two rows, plus kOffset, as words side by side in four vectors. Until order() brings sums of them
// into the order of the columns, lane i of vector v is column(v, i) of the tile.

DEGREEQUANT_INLINE __m128i load_half(const uint8_t* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

template <bool kSigned>
struct PairedBytes {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTileColumns;

  DEGREEQUANT_INLINE static constexpr int64_t column(int v, int64_t i) noexcept { return 8 * v + i; }

  DEGREEQUANT_INLINE static void load(const uint8_t* a, const uint8_t* b, __m256i words[4]) noexcept {
    for (int h = 0; h < 2; ++h) {
      const __m128i x = load_half(a + 16 * h), y = load_half(b + 16 * h);
      words[2 * h] = widen_bytes<kSigned>(_mm_unpacklo_epi8(x, y));
      words[2 * h + 1] = widen_bytes<kSigned>(_mm_unpackhi_epi8(x, y));
    }
  }

  DEGREEQUANT_INLINE static void order(__m256i[4]) noexcept {}
};

// Even columns in the first two vectors, odd columns in the others. Signed codes are offset by 8, cheaper than extending their sign.
template <bool kSigned>
struct PairedNibbles {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTileColumns / 2;

  DEGREEQUANT_INLINE static constexpr int64_t column(int v, int64_t i) noexcept { return v % 2 * 16 + v / 2 + 2 * i; }

  DEGREEQUANT_INLINE static __m256i low_nibbles(__m128i bytes) noexcept {
    const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi16(kSigned ? _mm_xor_si128(nibbles, _mm_set1_epi8(kOffset)) : nibbles);
  }

  DEGREEQUANT_INLINE static void load(const uint8_t* a, const uint8_t* b, __m256i words[4]) noexcept {
    const __m128i x = load_half(a), y = load_half(b);
    const __m128i low = _mm_unpacklo_epi8(x, y), high = _mm_unpackhi_epi8(x, y);
    words[0] = low_nibbles(low);
    words[1] = low_nibbles(high);
    words[2] = low_nibbles(_mm_srli_epi16(low, 4));
    words[3] = low_nibbles(_mm_srli_epi16(high, 4));
  }

  DEGREEQUANT_INLINE static void order(__m256i acc[4]) noexcept { interleave(acc); }
};

struct PairSimd {
  static constexpr int kTileVectors = 4;
  template <bool kSigned>
  using Bytes = PairedBytes<kSigned>;
  template <bool kSigned>
  using Nibbles = PairedNibbles<kSigned>;

  // Columns [first, first + count) of every row of a matrix.
  template <typename Loader, int kTiles>
  class Block {
   public:
    static constexpr int kVectors = kTiles * kTileVectors;

    DEGREEQUANT_INLINE Block(Codes x, int64_t first, int64_t count) noexcept : rows_(x, first, count) {}
    DEGREEQUANT_INLINE void prefetch(int64_t row) const noexcept { rows_.prefetch(row); }

    // Adds to each vector v its codes of two rows times the halves of factors[v].
    DEGREEQUANT_INLINE void add(int64_t a, int64_t b, const __m256i factors[kVectors], __m256i acc[kVectors]) const noexcept {
      const WholeBlock<kBytes> p(rows_, a), q(rows_, b);
      for (int t = 0; t < kTiles; ++t) {
        __m256i words[kTileVectors];
        Loader::load(p.data() + t * Loader::kTileBytes, q.data() + t * Loader::kTileBytes, words);
        for (int i = 0; i < kTileVectors; ++i) {
          const int v = t * kTileVectors + i;
          acc[v] = _mm256_add_epi32(acc[v], _mm256_madd_epi16(words[i], factors[v]));
        }
      }
    }

   private:
    static constexpr int64_t kBytes = kTiles * Loader::kTileBytes;
    ColumnBlock rows_;
  };
};

}  // namespace degreequant::avx2
