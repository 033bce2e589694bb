// AVX-512 as the sums over edges use it: rows of packed codes, weighted two edges at a time with vpdpwssd or counted in narrow lanes, and
// the sums in the order of the columns, sixteen int32 to a vector.
#pragma once

#include "blocks.h"
#include "requantize_avx512.h"

namespace degreequant::avx512 {

// Where the bytes of a block lie in the vectors of Weighted, and its planes: with bytes one, with nibbles whole bytes and odd columns.
template <typename Shape>
struct Masks {
  uint32_t open[2] = {};  // of the last tiles of a block

  DEGREEQUANT_INLINE explicit Masks(int64_t bytes) noexcept {
    constexpr int kFirst = Shape::kTiles > 2 ? Shape::kTiles - 2 : 0;
    for (int i = 0; i < 2; ++i) open[i] = static_cast<uint32_t>(first_lanes(bytes - (kFirst + i) * kTile));
  }

  DEGREEQUANT_INLINE __m256i load(const uint8_t* p, int t) const noexcept {
    constexpr int kFirst = Shape::kTiles > 2 ? Shape::kTiles - 2 : 0;
    if (Shape::is_open(t)) return _mm256_maskz_loadu_epi8(open[t - kFirst], p + t * kTile);
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + t * kTile));
  }
  DEGREEQUANT_INLINE __m128i load_half(const uint8_t* p) const noexcept { return _mm_maskz_loadu_epi8(static_cast<__mmask16>(open[0]), p); }
};

// Adds the products of words, two in each lane. The intrinsic lets GCC copy the accumulator to and fro in the innermost loop.
DEGREEQUANT_INLINE void add_products(__m512i& acc, __m512i a, __m512i b) noexcept {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

// Bytes: one accumulator for each column.
template <bool kSigned>
struct Bytes {
  static constexpr int kMaxHalves = 8;
  static constexpr int kPlanes = 1;
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kCapacity = 256;  // codes that a 16-bit lane can sum

  // Adds the products of a pair of edges.
  DEGREEQUANT_INLINE static void multiply(__m512i acc[1], __m256i pairs, __m512i factors) noexcept {
    add_products(acc[0], widen_bytes<kSigned>(pairs), factors);
  }
  // From the planes of sixteen bytes to vectors of columns; `total` is the sum of the coefficients.
  DEGREEQUANT_INLINE static void finish(__m512i[1], __m512i) noexcept {}

  // Sums of the codes of 32 bytes.
  struct Count {
    __m512i words = _mm512_setzero_si512();

    DEGREEQUANT_INLINE void add(__m256i bytes) noexcept { words = _mm512_add_epi16(words, widen_bytes<kSigned>(bytes)); }
    DEGREEQUANT_INLINE static __m512i widen16(__m256i sums) noexcept {
      return kSigned ? _mm512_cvtepi16_epi32(sums) : _mm512_cvtepu16_epi32(sums);
    }
    DEGREEQUANT_INLINE void flush_low(__m512i acc[1]) noexcept {
      acc[0] = _mm512_add_epi32(acc[0], widen16(_mm512_castsi512_si256(words)));
    }
    DEGREEQUANT_INLINE void flush_high(__m512i acc[1]) noexcept {
      acc[0] = _mm512_add_epi32(acc[0], widen16(_mm512_extracti64x4_epi64(words, 1)));
    }
  };
  // The planes of counts are in order; `edges` codes were summed.
  DEGREEQUANT_INLINE static void finish_count(__m512i[1], __m512i) noexcept {}
};

// Nibbles: the odd column of a byte is its upper half, whose sign comes with the byte's own; the even one is what the whole byte has more
// than 16 times the odd one. Signed even codes are offset by 8, so that the lower half is not negative.
template <bool kSigned>
struct Nibbles {
  static constexpr int kMaxHalves = 4;
  static constexpr int kPlanes = 2;
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kCapacity = 16;  // codes that an 8-bit lane can sum

  DEGREEQUANT_INLINE static void multiply(__m512i acc[2], __m256i pairs, __m512i factors) noexcept {
    const __m512i bytes = kSigned ? _mm512_cvtepi8_epi16(_mm256_xor_si256(pairs, _mm256_set1_epi8(kOffset))) : _mm512_cvtepu8_epi16(pairs);
    const __m512i odd = kSigned ? _mm512_srai_epi16(bytes, 4) : _mm512_srli_epi16(bytes, 4);
    add_products(acc[0], bytes, factors);
    add_products(acc[1], odd, factors);
  }
  DEGREEQUANT_INLINE static void finish(__m512i acc[2], __m512i total) noexcept {
    acc[0] = _mm512_sub_epi32(acc[0], _mm512_slli_epi32(acc[1], 4));
    if (kSigned) acc[0] = _mm512_sub_epi32(acc[0], _mm512_slli_epi32(total, 3));
    interleave(acc[0], acc[1]);
  }

  struct Count {
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();

    DEGREEQUANT_INLINE void add(__m256i bytes) noexcept {
      const __m256i low = _mm256_set1_epi8(15);
      const __m256i codes = kSigned ? _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x88))) : bytes;
      even = _mm256_add_epi8(even, _mm256_and_si256(codes, low));
      odd = _mm256_add_epi8(odd, _mm256_and_si256(_mm256_srli_epi16(codes, 4), low));
    }
    DEGREEQUANT_INLINE void flush_low(__m512i acc[2]) noexcept {
      acc[0] = _mm512_add_epi32(acc[0], _mm512_cvtepu8_epi32(_mm256_castsi256_si128(even)));
      acc[1] = _mm512_add_epi32(acc[1], _mm512_cvtepu8_epi32(_mm256_castsi256_si128(odd)));
    }
    DEGREEQUANT_INLINE void flush_high(__m512i acc[2]) noexcept {
      acc[0] = _mm512_add_epi32(acc[0], _mm512_cvtepu8_epi32(_mm256_extracti128_si256(even, 1)));
      acc[1] = _mm512_add_epi32(acc[1], _mm512_cvtepu8_epi32(_mm256_extracti128_si256(odd, 1)));
    }
  };
  DEGREEQUANT_INLINE static void finish_count(__m512i acc[2], __m512i edges) noexcept {
    if (kSigned) {
      const __m512i offset = _mm512_slli_epi32(edges, 3);
      acc[0] = _mm512_sub_epi32(acc[0], offset);
      acc[1] = _mm512_sub_epi32(acc[1], offset);
    }
    interleave(acc[0], acc[1]);
  }
};

struct Simd {
  static constexpr int64_t kLanes = avx512::kLanes;
  static constexpr bool kJoinsRest = true;  // the registers hold a tile more than the widest block
  using Vector = __m512i;
  using Requantizer = avx512::Requantizer;
  template <bool kSigned>
  using Bytes = avx512::Bytes<kSigned>;
  template <bool kSigned>
  using Nibbles = avx512::Nibbles<kSigned>;

  DEGREEQUANT_INLINE static Vector set(int32_t value) noexcept { return _mm512_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector load(const int32_t* p) noexcept { return _mm512_loadu_si512(p); }
  DEGREEQUANT_INLINE static void store(int32_t* p, Vector v) noexcept { _mm512_storeu_si512(p, v); }
  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm512_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, int32_t places) noexcept { return _mm512_sll_epi32(v, _mm_cvtsi32_si128(places)); }
  DEGREEQUANT_INLINE static Vector look_up(const int32_t* table, Vector index) noexcept { return _mm512_i32gather_epi32(index, table, 4); }
  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Vector codes) noexcept {
    store16(type, row, col, count, codes);
  }

  // The sums of a block's columns, vector after vector.
  template <typename Loader, typename Shape>
  struct Sums {
    static constexpr int kVectors = Shape::kHalves * Loader::kPlanes;
    Vector acc[kVectors] = {};
  };

  // Sums of codes weighted by 16-bit coefficients. They may wrap around on their way; what finish() leaves must fit, and has not.
  template <typename Loader, typename Shape>
  class Weighted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Weighted(int64_t bytes, const uint8_t*) noexcept : masks_(bytes) {}

    // Adds two rows, with their coefficients in the halves of each lane of `factors`.
    DEGREEQUANT_INLINE void add(const uint8_t* a, const uint8_t* b, Vector factors) noexcept {
      constexpr int kPlanes = Loader::kPlanes;
      if constexpr (Loader::kOffset != 0) add_products(total_, factors, _mm512_set1_epi16(1));
      if constexpr (Shape::kTiles == 0) {
        const __m128i x = masks_.load_half(a), y = masks_.load_half(b);
        const __m256i pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(x, y)), _mm_unpackhi_epi8(x, y), 1);
        Loader::multiply(this->acc, pairs, factors);
      }
      unrolled<Shape::kTiles>([&](auto t) DEGREEQUANT_INLINE_LAMBDA {
        const __m256i x = masks_.load(a, t), y = masks_.load(b, t);
        Loader::multiply(this->acc + 2 * t * kPlanes, _mm256_unpacklo_epi8(x, y), factors);
        Loader::multiply(this->acc + (2 * t + 1) * kPlanes, _mm256_unpackhi_epi8(x, y), factors);
      });
    }

    // Brings the sums into the order of the columns.
    DEGREEQUANT_INLINE void finish() noexcept {
      constexpr int kPlanes = Loader::kPlanes;
      unrolled<Shape::kTiles * kPlanes>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {  // which unpacking has mixed: each took two groups of eight
        constexpr int kLow = i / kPlanes * 2 * kPlanes + i % kPlanes;
        order_unpacked(this->acc[kLow], this->acc[kLow + kPlanes]);
      });
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { Loader::finish(this->acc + h * kPlanes, total_); });
    }

   private:
    Masks<Shape> masks_;
    Vector total_ = {};
  };

  // Sums of codes, each counted once.
  template <typename Loader, typename Shape>
  class Counted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Counted(int64_t bytes, const uint8_t*) noexcept : masks_(bytes) {}

    // Adds a row; after Loader::kCapacity of them flush() is due.
    DEGREEQUANT_INLINE void add(const uint8_t* a) noexcept {
      if constexpr (Shape::kTiles == 0) counts_[0].add(_mm256_castsi128_si256(masks_.load_half(a)));
      unrolled<Shape::kTiles>([&](auto t) DEGREEQUANT_INLINE_LAMBDA { counts_[t].add(masks_.load(a, t)); });
    }

    DEGREEQUANT_INLINE void flush() noexcept {
      constexpr int kPlanes = Loader::kPlanes;
      if constexpr (Shape::kTiles == 0) counts_[0].flush_low(this->acc);
      unrolled<Shape::kTiles>([&](auto t) DEGREEQUANT_INLINE_LAMBDA {
        counts_[t].flush_low(this->acc + 2 * t * kPlanes);
        counts_[t].flush_high(this->acc + (2 * t + 1) * kPlanes);
      });
      unrolled<kCounts>([&](auto i) DEGREEQUANT_INLINE_LAMBDA { counts_[i] = {}; });
    }

    // Brings the sums of so many rows, all flushed, into the order of the columns.
    DEGREEQUANT_INLINE void finish(int64_t rows) noexcept {
      const Vector edges = set(static_cast<int32_t>(rows));
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { Loader::finish_count(this->acc + h * Loader::kPlanes, edges); });
    }

   private:
    Masks<Shape> masks_;
    static constexpr int kCounts = Shape::kTiles == 0 ? 1 : Shape::kTiles;
    typename Loader::Count counts_[kCounts];
  };
};

}  // namespace degreequant::avx512
