// AVX2 as the kernels over edges use it: loads of packed codes, eight int32 lanes to a vector, and weighted sums of them.
#pragma once

#include "gather.h"
#include "requantize_avx2.h"

namespace degreequant::avx2 {

// A loader gives a tile's codes, plus kOffset, as int32 in four vectors, of which only the low 16 bits count, and puts sums of them in the
// order of the columns. Lane i of vector v is column first(v) + kStep * i of its tile until then.

template <bool kSigned>
struct ByteLoader {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTileColumns;
  static constexpr int64_t kStep = 1;

  DEGREEQUANT_INLINE static constexpr int64_t first(int v) noexcept { return v * kLanes; }

  DEGREEQUANT_INLINE static void load(const uint8_t* p, __m256i codes[4]) noexcept {
    for (int i = 0; i < 4; ++i) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * i));
      codes[i] = kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    }
  }

  DEGREEQUANT_INLINE static void order(__m256i[4]) noexcept {}
};

// Even columns in the first two vectors, odd columns in the others. Signed codes are offset by 8, cheaper than extending their sign.
template <bool kSigned>
struct NibbleLoader {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTileColumns / 2;
  static constexpr int64_t kStep = 2;

  DEGREEQUANT_INLINE static constexpr int64_t first(int v) noexcept { return v % 2 * 2 * kLanes + v / 2; }

  DEGREEQUANT_INLINE static __m128i low_nibbles(__m128i bytes) noexcept {
    const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return kSigned ? _mm_xor_si128(nibbles, _mm_set1_epi8(8)) : nibbles;
  }

  DEGREEQUANT_INLINE static void load(const uint8_t* p, __m256i codes[4]) noexcept {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i even = low_nibbles(bytes);
    const __m128i odd = low_nibbles(_mm_srli_epi16(bytes, 4));
    codes[0] = _mm256_cvtepu8_epi32(even);
    codes[1] = _mm256_cvtepu8_epi32(_mm_srli_si128(even, 8));
    codes[2] = _mm256_cvtepu8_epi32(odd);
    codes[3] = _mm256_cvtepu8_epi32(_mm_srli_si128(odd, 8));
  }

  DEGREEQUANT_INLINE static void order(__m256i acc[4]) noexcept {
    const __m256i even[2] = {acc[0], acc[1]};
    const __m256i odd[2] = {acc[2], acc[3]};
    for (int i = 0; i < 2; ++i) {
      const __m256i low = _mm256_unpacklo_epi32(even[i], odd[i]);
      const __m256i high = _mm256_unpackhi_epi32(even[i], odd[i]);
      acc[2 * i] = _mm256_permute2x128_si256(low, high, 0x20);
      acc[2 * i + 1] = _mm256_permute2x128_si256(low, high, 0x31);
    }
  }
};

constexpr int kTileVectors = 4;

struct TileSimd {
  static constexpr int64_t kLanes = avx2::kLanes;
  static constexpr int kMaxTiles = 2;
  static constexpr int kTileVectors = avx2::kTileVectors;
  using Vector = __m256i;
  using Requantizer = avx2::Requantizer;
  template <bool kSigned>
  using Bytes = ByteLoader<kSigned>;
  template <bool kSigned>
  using Nibbles = NibbleLoader<kSigned>;

  DEGREEQUANT_INLINE static Vector set(int32_t value) noexcept { return _mm256_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector load(const int32_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  DEGREEQUANT_INLINE static void store(int32_t* p, Vector v) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm256_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, int32_t places) noexcept { return _mm256_sll_epi32(v, _mm_cvtsi32_si128(places)); }
  DEGREEQUANT_INLINE static Vector look_up(const int32_t* table, Vector index) noexcept { return _mm256_i32gather_epi32(table, index, 4); }
  // What multiplies a code: the upper half of a lane meets the sign bits of the code, so it is 0.
  DEGREEQUANT_INLINE static Vector factor(int32_t coefficient) noexcept { return set(coefficient & 0xffff); }

  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Vector codes) noexcept {
    store8(type, row, col, count, codes);
  }

  // Columns [first, first + count) of every row of a matrix.
  template <typename Loader, typename Shape>
  struct Block {
    static constexpr int64_t kBytes = Shape::kTiles * Loader::kTileBytes;
    const uint8_t* base;  // of row 0
    int64_t stride;
    int64_t bytes;
    const uint8_t* matrix_end;

    DEGREEQUANT_INLINE Block(Codes x, int64_t first, int64_t count) noexcept
        : base(x.data + row_bytes(x.type, first)),
          stride(row_bytes(x.type, x.cols)),
          bytes(Shape::kPartial ? row_bytes(x.type, count) : kBytes),
          matrix_end(x.data + x.rows * stride) {}

    // Adds factor(v) times the codes of vector v.
    template <typename Factor, typename Sums>
    DEGREEQUANT_INLINE void add(int64_t row, Factor factor, Sums& sums) const noexcept {
      const uint8_t* p = base + row * stride;
      alignas(32) uint8_t copy[kBytes];
      if (Shape::kPartial && matrix_end - p < kBytes) {  // whole vectors would reach beyond the matrix
        for (int64_t i = 0; i < kBytes; ++i) copy[i] = i < bytes ? p[i] : 0;
        p = copy;
      }
      for (int t = 0; t < Shape::kTiles; ++t) {
        Vector codes[kTileVectors];
        Loader::load(p + t * Loader::kTileBytes, codes);
        for (int i = 0; i < kTileVectors; ++i) {
          const int v = t * kTileVectors + i;
          sums.acc[v] = _mm256_add_epi32(sums.acc[v], _mm256_madd_epi16(codes[i], factor(v)));
        }
      }
    }
  };
};

}  // namespace degreequant::avx2
