// AVX2 as the sums over edges use it: rows of packed codes, weighted two edges at a time with vpmaddwd or counted in narrow lanes, and the
// sums in the order of the columns, eight int32 to a vector.
#pragma once

#include "blocks.h"
#include "requantize_avx2.h"

namespace degreequant::avx2 {

// Two vectors of sums for each plane of sixteen bytes: what a loader's functions take.

// Bytes: one accumulator for each column.
template <bool kSigned>
struct Bytes {
  static constexpr int kMaxHalves = 4;
  static constexpr int kPlanes = 1;
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kCapacity = 256;  // codes that a 16-bit lane can sum

  // Adds the products of a pair of edges.
  DEGREEQUANT_INLINE static void multiply(__m256i acc[2], __m128i low, __m128i high, __m256i factors) noexcept {
    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(widen_bytes<kSigned>(low), factors));
    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(widen_bytes<kSigned>(high), factors));
  }
  // From planes to vectors of columns; `total` is the sum of the coefficients.
  DEGREEQUANT_INLINE static void finish(__m256i[2], __m256i) noexcept {}

  // Sums of the codes of sixteen bytes.
  struct Count {
    __m256i words = _mm256_setzero_si256();

    DEGREEQUANT_INLINE void add(__m128i bytes) noexcept { words = _mm256_add_epi16(words, widen_bytes<kSigned>(bytes)); }
    DEGREEQUANT_INLINE void flush(__m256i acc[2]) noexcept {
      const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
      acc[0] = _mm256_add_epi32(acc[0], kSigned ? _mm256_cvtepi16_epi32(low) : _mm256_cvtepu16_epi32(low));
      acc[1] = _mm256_add_epi32(acc[1], kSigned ? _mm256_cvtepi16_epi32(high) : _mm256_cvtepu16_epi32(high));
    }
  };
  DEGREEQUANT_INLINE static void finish_count(__m256i[2], __m256i) noexcept {}
};

// Nibbles: the odd column of a byte is its upper half, whose sign comes with the byte's own; the even one is what the whole byte has more
// than 16 times the odd one. Signed even codes are offset by 8, so that the lower half is not negative.
template <bool kSigned>
struct Nibbles {
  static constexpr int kMaxHalves = 2;
  static constexpr int kPlanes = 2;
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kCapacity = 16;  // codes that an 8-bit lane can sum

  DEGREEQUANT_INLINE static void multiply_half(__m256i& whole, __m256i& upper, __m128i pairs, __m256i factors) noexcept {
    const __m256i bytes = kSigned ? _mm256_cvtepi8_epi16(_mm_xor_si128(pairs, _mm_set1_epi8(kOffset))) : _mm256_cvtepu8_epi16(pairs);
    const __m256i odd = kSigned ? _mm256_srai_epi16(bytes, 4) : _mm256_srli_epi16(bytes, 4);
    whole = _mm256_add_epi32(whole, _mm256_madd_epi16(bytes, factors));
    upper = _mm256_add_epi32(upper, _mm256_madd_epi16(odd, factors));
  }
  DEGREEQUANT_INLINE static void multiply(__m256i acc[4], __m128i low, __m128i high, __m256i factors) noexcept {
    multiply_half(acc[0], acc[2], low, factors);
    multiply_half(acc[1], acc[3], high, factors);
  }
  DEGREEQUANT_INLINE static void finish(__m256i acc[4], __m256i total) noexcept {
    for (int i = 0; i < 2; ++i) {
      acc[i] = _mm256_sub_epi32(acc[i], _mm256_slli_epi32(acc[i + 2], 4));
      if (kSigned) acc[i] = _mm256_sub_epi32(acc[i], _mm256_slli_epi32(total, 3));
    }
    interleave(acc);
  }

  struct Count {
    __m128i even = _mm_setzero_si128();
    __m128i odd = _mm_setzero_si128();

    DEGREEQUANT_INLINE void add(__m128i bytes) noexcept {
      const __m128i low = _mm_set1_epi8(15);
      const __m128i codes = kSigned ? _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x88))) : bytes;
      even = _mm_add_epi8(even, _mm_and_si128(codes, low));
      odd = _mm_add_epi8(odd, _mm_and_si128(_mm_srli_epi16(codes, 4), low));
    }
    DEGREEQUANT_INLINE void flush(__m256i acc[4]) noexcept {
      acc[0] = _mm256_add_epi32(acc[0], _mm256_cvtepu8_epi32(even));
      acc[1] = _mm256_add_epi32(acc[1], _mm256_cvtepu8_epi32(_mm_srli_si128(even, 8)));
      acc[2] = _mm256_add_epi32(acc[2], _mm256_cvtepu8_epi32(odd));
      acc[3] = _mm256_add_epi32(acc[3], _mm256_cvtepu8_epi32(_mm_srli_si128(odd, 8)));
    }
  };
  DEGREEQUANT_INLINE static void finish_count(__m256i acc[4], __m256i edges) noexcept {
    for (int i = 0; kSigned && i < 4; ++i) acc[i] = _mm256_sub_epi32(acc[i], _mm256_slli_epi32(edges, 3));
    interleave(acc);
  }
};

struct Simd {
  static constexpr int64_t kLanes = avx2::kLanes;
  static constexpr bool kJoinsRest = false;
  using Vector = __m256i;
  using Requantizer = avx2::Requantizer;
  template <bool kSigned>
  using Bytes = avx2::Bytes<kSigned>;
  template <bool kSigned>
  using Nibbles = avx2::Nibbles<kSigned>;

  DEGREEQUANT_INLINE static Vector set(int32_t value) noexcept { return _mm256_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector load(const int32_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  DEGREEQUANT_INLINE static void store(int32_t* p, Vector v) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return _mm256_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, int32_t places) noexcept { return _mm256_sll_epi32(v, _mm_cvtsi32_si128(places)); }
  DEGREEQUANT_INLINE static Vector look_up(const int32_t* table, Vector index) noexcept { return _mm256_i32gather_epi32(table, index, 4); }
  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Vector codes) noexcept {
    store8(type, row, col, count, codes);
  }

  DEGREEQUANT_INLINE static __m128i load_half(const uint8_t* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

  // The sums of a block's columns, vector after vector.
  template <typename Loader, typename Shape>
  struct Sums {
    static constexpr int kPlanes = Loader::kPlanes;
    static constexpr int kVectors = 2 * Shape::kHalves * kPlanes;
    Vector acc[kVectors] = {};
  };

  // Sums of codes weighted by 16-bit coefficients. They may wrap around on their way; what finish() leaves must fit, and has not.
  template <typename Loader, typename Shape>
  class Weighted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Weighted(int64_t bytes, const uint8_t* end) noexcept : bytes_(bytes), end_(end) {}

    // Adds two rows, with their coefficients in the halves of each lane of `factors`.
    DEGREEQUANT_INLINE void add(const uint8_t* a, const uint8_t* b, Vector factors) noexcept {
      if constexpr (Loader::kOffset != 0) total_ = _mm256_add_epi32(total_, _mm256_madd_epi16(factors, _mm256_set1_epi16(1)));
      const BlockRow<Shape> first(a, bytes_, end_), second(b, bytes_, end_);
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA {
        const __m128i x = load_half(first.half(h)), y = load_half(second.half(h));
        Loader::multiply(this->acc + 2 * h * Loader::kPlanes, _mm_unpacklo_epi8(x, y), _mm_unpackhi_epi8(x, y), factors);
      });
    }

    // Brings the sums into the order of the columns.
    DEGREEQUANT_INLINE void finish() noexcept {
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { Loader::finish(this->acc + 2 * h * Loader::kPlanes, total_); });
    }

   private:
    int64_t bytes_;
    const uint8_t* end_;  // of the matrix
    Vector total_ = _mm256_setzero_si256();
  };

  // Sums of codes, each counted once.
  template <typename Loader, typename Shape>
  class Counted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Counted(int64_t bytes, const uint8_t* end) noexcept : bytes_(bytes), end_(end) {}

    // Adds a row; after Loader::kCapacity of them flush() is due.
    DEGREEQUANT_INLINE void add(const uint8_t* a) noexcept {
      const BlockRow<Shape> row(a, bytes_, end_);
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { counts_[h].add(load_half(row.half(h))); });
    }

    DEGREEQUANT_INLINE void flush() noexcept {
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA {
        counts_[h].flush(this->acc + 2 * h * Loader::kPlanes);
        counts_[h] = {};
      });
    }

    // Brings the sums of so many rows, all flushed, into the order of the columns.
    DEGREEQUANT_INLINE void finish(int64_t rows) noexcept {
      const Vector edges = set(static_cast<int32_t>(rows));
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { Loader::finish_count(this->acc + 2 * h * Loader::kPlanes, edges); });
    }

   private:
    int64_t bytes_;
    const uint8_t* end_;
    typename Loader::Count counts_[Shape::kHalves];
  };
};

}  // namespace degreequant::avx2
