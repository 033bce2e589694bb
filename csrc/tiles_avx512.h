// AVX-512 as the kernels over edges use it: loads of packed codes, sixteen int32 lanes to a vector, and weighted sums of them.
#pragma once

#include "gather.h"
#include "requantize_avx512.h"

namespace degreequant::avx512 {

// A loader gives a tile's codes, plus kOffset, as int32 in two vectors, of which only the low 16 bits count, and puts sums of them in the
// order of the columns. Lane i of vector v is column first(v) + kStep * i of its tile until then.

template <bool kSigned>
struct ByteLoader {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTileColumns;
  static constexpr int64_t kStep = 1;

  DEGREEQUANT_INLINE static constexpr int64_t first(int v) noexcept { return v * kLanes; }

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

// Even columns in one vector, odd columns in the other. Signed codes are offset by 8, which costs no more than clearing the other nibble.
template <bool kSigned>
struct NibbleLoader {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTileColumns / 2;
  static constexpr int64_t kStep = 2;

  DEGREEQUANT_INLINE static constexpr int64_t first(int v) noexcept { return v; }

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

constexpr int kTileVectors = 2;

struct TileSimd {
  static constexpr int64_t kLanes = avx512::kLanes;
  static constexpr int kMaxTiles = 2;
  static constexpr int kTileVectors = avx512::kTileVectors;
  using Vector = __m512i;
  using Requantizer = avx512::Requantizer;
  template <bool kSigned>
  using Bytes = ByteLoader<kSigned>;
  template <bool kSigned>
  using Nibbles = NibbleLoader<kSigned>;

  DEGREEQUANT_INLINE static Vector set(int32_t value) noexcept { return _mm512_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector load(const int32_t* p) noexcept { return _mm512_loadu_si512(p); }
  DEGREEQUANT_INLINE static void store(int32_t* p, Vector v) noexcept { _mm512_storeu_si512(p, v); }
  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm512_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, int32_t places) noexcept { return _mm512_sll_epi32(v, _mm_cvtsi32_si128(places)); }
  DEGREEQUANT_INLINE static Vector look_up(const int32_t* table, Vector index) noexcept { return _mm512_i32gather_epi32(index, table, 4); }
  // What multiplies a code: the upper half of a lane meets the sign bits of the code, so it is 0.
  DEGREEQUANT_INLINE static Vector factor(int32_t coefficient) noexcept { return set(coefficient & 0xffff); }

  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Vector codes) noexcept {
    store16(type, row, col, count, codes);
  }

  // Columns [first, first + count) of every row of a matrix.
  template <typename Loader, typename Shape>
  struct Block {
    const uint8_t* base;  // of row 0
    int64_t stride;
    int64_t bytes;
    uint64_t mask;

    DEGREEQUANT_INLINE Block(Codes x, int64_t first, int64_t count) noexcept
        : base(x.data + row_bytes(x.type, first)),
          stride(row_bytes(x.type, x.cols)),
          bytes(Shape::kPartial ? row_bytes(x.type, count) : Shape::kTiles * Loader::kTileBytes),
          mask(first_lanes(bytes)) {}

    // Adds factor(v) times the codes of vector v.
    template <typename Factor, typename Sums>
    DEGREEQUANT_INLINE void add(int64_t row, Factor factor, Sums& sums) const noexcept {
      const uint8_t* p = base + row * stride;
      for (int t = 0; t < Shape::kTiles; ++t) {
        Vector codes[kTileVectors];
        const uint32_t tile_mask = static_cast<uint32_t>(mask >> (t * Loader::kTileBytes));
        Loader::template load<Shape::kPartial>(p + t * Loader::kTileBytes, tile_mask, codes);
        for (int i = 0; i < kTileVectors; ++i) {
          const int v = t * kTileVectors + i;
          sums.acc[v] = _mm512_dpwssd_epi32(sums.acc[v], codes[i], factor(v));
        }
      }
    }
  };
};

}  // namespace degreequant::avx512
