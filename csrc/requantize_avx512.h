// The rounding rule on sixteen accumulators, for whole rows, and on 64 whose codes are stored together.
#pragma once

#include "estimate.h"
#include "exact.h"
#include "float_lanes_avx512.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {

struct EstimateLanes : FloatLanes {
  using Integers = __m512i;

  DEGREEQUANT_INLINE static Integers set_integer(int32_t value) noexcept { return _mm512_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector to_floats(Integers v) noexcept { return _mm512_cvtepi32_ps(v); }
  DEGREEQUANT_INLINE static Integers bits(Vector v) noexcept { return _mm512_castps_si512(v); }
  DEGREEQUANT_INLINE static Vector as_floats(Integers v) noexcept { return _mm512_castsi512_ps(v); }
  DEGREEQUANT_INLINE static Integers subtract_integers(Integers a, Integers b) noexcept { return _mm512_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers add_integers(Integers a, Integers b) noexcept { return _mm512_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers smaller(Integers a, Integers b) noexcept { return _mm512_min_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers larger(Integers a, Integers b) noexcept { return _mm512_max_epi32(a, b); }
  template <int kPlaces>
  DEGREEQUANT_INLINE static Integers shift_right(Integers v) noexcept {
    return _mm512_srli_epi32(v, kPlaces);
  }

  // Unsigned words, two to a lane.
  DEGREEQUANT_INLINE static Integers set_words(int32_t value) noexcept { return _mm512_set1_epi16(static_cast<int16_t>(value)); }
  DEGREEQUANT_INLINE static Integers smaller_words(Integers a, Integers b) noexcept { return _mm512_min_epu16(a, b); }
  DEGREEQUANT_INLINE static bool any_word_within(Integers words, Integers most) noexcept {
    return _mm512_cmple_epu16_mask(words, most) != 0;
  }
  DEGREEQUANT_INLINE static bool any_lower_word_within(Integers words, Integers most) noexcept {
    constexpr __mmask32 kLower = 0x55555555;
    return _mm512_mask_cmple_epu16_mask(kLower, words, most) != 0;
  }
  DEGREEQUANT_INLINE static Integers to_integers(Vector v) noexcept { return _mm512_cvtps_epi32(v); }  // to the nearest
};

using Requantizer = EstimatingRequantizer<ExactRequantizer<Wide>, EstimateLanes>;

// Codes of at most 8 bits of four vectors of words (EstimateRounder::words), one vector after the other as they are stored: clamped by
// saturating where that does, since a clamp may leave fewer.
class CodePacker {
 public:
  DEGREEQUANT_INLINE CodePacker(Clamp clamp, CodeType type) noexcept
      : is_byte_(is_byte(type)),
        least_(_mm512_set1_epi8(static_cast<char>(clamp.q_min))),
        range_(_mm512_set1_epi8(static_cast<char>(clamp.q_max - clamp.q_min))) {}

  // As bytes.
  DEGREEQUANT_INLINE __m512i pack(const __m512i words[4]) const noexcept {
    const __m512i in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i pairs = _mm512_packus_epi16(join(words[0], words[1]), join(words[2], words[3]));
    return _mm512_add_epi8(_mm512_min_epu8(_mm512_permutexvar_epi64(in_order, pairs), range_), least_);
  }

  // Stores the bytes of one of kParts rows that were packed together.
  template <int kParts, int kPart>
  DEGREEQUANT_INLINE static void store_whole(uint8_t* target, __m512i codes) noexcept {
    if constexpr (kParts == 2) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), half<kPart>(codes));
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm512_extracti32x4_epi32(codes, kPart));
    }
  }

  // Stores the first `count` codes of one of them, as bytes or as nibbles.
  template <int kParts, int kPart>
  DEGREEQUANT_INLINE void store(uint8_t* row, int64_t col, int64_t count, __m512i codes) const noexcept {
    const __m256i part = kParts == 2 ? half<kPart % 2>(codes) : _mm256_castsi128_si256(_mm512_extracti32x4_epi32(codes, kPart));
    if (count > 64 / kParts) count = 64 / kParts;
    const __mmask32 mask = static_cast<__mmask32>(first_lanes(count));
    if (is_byte_) return _mm256_mask_storeu_epi8(row + col, mask, part);
    const __m256i nibbles = _mm256_and_si256(_mm256_maskz_mov_epi8(mask, part), _mm256_set1_epi8(15));
    const __m128i pairs = _mm256_cvtepi16_epi8(_mm256_or_si256(nibbles, _mm256_srli_epi16(nibbles, 4)));
    _mm_mask_storeu_epi8(row + col / 2, static_cast<__mmask16>(first_lanes((count + 1) / 2)), pairs);
  }

 private:
  // The upper words of two vectors, less 256.
  DEGREEQUANT_INLINE static __m512i join(__m512i a, __m512i b) noexcept {
    alignas(64) static constexpr int16_t kUpper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                       33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    return _mm512_subs_epi16(_mm512_permutex2var_epi16(a, _mm512_load_si512(kUpper), b), _mm512_set1_epi16(256));
  }

  template <int kHalf>
  DEGREEQUANT_INLINE static __m256i half(__m512i codes) noexcept {
    return kHalf == 0 ? _mm512_castsi512_si256(codes) : _mm512_extracti64x4_epi64(codes, 1);
  }

  bool is_byte_;
  __m512i least_;
  __m512i range_;
};

}  // namespace degreequant::avx512
