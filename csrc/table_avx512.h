// Tables of a byte's length in registers: sixteen entries of words are looked up there in some ten instructions, 64 of bytes in some
// twenty, without touching memory.
#pragma once

#include "simd_avx512.h"

namespace degreequant::avx512 {

class Table {
 public:
  static constexpr int64_t kEntries = 256;

  // The first `count` entries, at most kEntries; the low 16 bits of each.
  DEGREEQUANT_INLINE Table(const int32_t* entries, int64_t count) noexcept {
    for (int64_t i = 0; i < kVectors; ++i) {
      const auto words = [&](int64_t first) DEGREEQUANT_INLINE_LAMBDA {
        return _mm512_cvtepi32_epi16(_mm512_maskz_loadu_epi32(static_cast<__mmask16>(first_lanes(count - first)), entries + first));
      };
      words_[i] = _mm512_inserti64x4(_mm512_castsi256_si512(words(kWords * i)), words(kWords * i + kLanes), 1);
    }
  }

  // Of indices below kEntries.
  DEGREEQUANT_INLINE __m512i look_up(__m512i index) const noexcept {
    const __mmask16 is_odd = _mm512_test_epi32_mask(index, _mm512_set1_epi32(kQuarter));
    const __m512i low = _mm512_mask_blend_epi32(is_odd, quarter(0, index), quarter(1, index));
    const __m512i high = _mm512_mask_blend_epi32(is_odd, quarter(2, index), quarter(3, index));
    return _mm512_mask_blend_epi32(_mm512_test_epi32_mask(index, _mm512_set1_epi32(2 * kQuarter)), low, high);
  }

 private:
  static constexpr int64_t kWords = 32;  // in a vector
  static constexpr int64_t kVectors = kEntries / kWords;
  static constexpr int32_t kQuarter = 64;  // entries that one instruction chooses from, by the low bits of an index

  DEGREEQUANT_INLINE __m512i quarter(int64_t i, __m512i index) const noexcept {
    constexpr __mmask32 kLowWords = 0x55555555;
    return _mm512_maskz_permutex2var_epi16(kLowWords, words_[2 * i], index, words_[2 * i + 1]);
  }

  __m512i words_[kVectors];
};

// A table of bytes. A word holds two entries: it is chosen by all bits of an index but the lowest, which says which of the two is meant.
class ByteTable {
 public:
  static constexpr int64_t kBytes = 64;  // that are looked up at once

  // 256 entries; the low bytes of each.
  DEGREEQUANT_INLINE explicit ByteTable(const int32_t* entries) noexcept {
    for (int64_t i = 0; i < kVectors; ++i) {
      const auto bytes = [&](int64_t first)
                             DEGREEQUANT_INLINE_LAMBDA { return _mm512_cvtepi32_epi8(_mm512_loadu_si512(entries + kBytes * i + first)); };
      __m512i all = _mm512_castsi128_si512(bytes(0));
      all = _mm512_inserti32x4(all, bytes(kLanes), 1);
      all = _mm512_inserti32x4(all, bytes(2 * kLanes), 2);
      pairs_[i] = _mm512_inserti32x4(all, bytes(3 * kLanes), 3);
    }
  }

  // The entries of the first `count` of the bytes at `from`, at most kBytes, with some bits flipped.
  DEGREEQUANT_INLINE void look_up(const uint8_t* from, int64_t count, int32_t flip, uint8_t* to) const noexcept {
    const __mmask64 mask = first_lanes(count);
    const __m512i index = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, from), _mm512_set1_epi8(static_cast<char>(flip)));
    const __m512i low = _mm512_set1_epi16(255);
    const __m512i even = entry(_mm512_and_si512(index, low)), odd = entry(_mm512_srli_epi16(index, 8));
    _mm512_mask_storeu_epi8(to, mask, _mm512_or_si512(_mm512_and_si512(even, low), _mm512_slli_epi16(odd, 8)));
  }

 private:
  static constexpr int64_t kVectors = 4;

  // In the low byte of each word, of indices in words.
  DEGREEQUANT_INLINE __m512i entry(__m512i index) const noexcept {
    const __m512i pair = _mm512_srli_epi16(index, 1);
    const __m512i lower = _mm512_permutex2var_epi16(pairs_[0], pair, pairs_[1]),
                  upper = _mm512_permutex2var_epi16(pairs_[2], pair, pairs_[3]);
    const __m512i both = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(index, _mm512_set1_epi16(128)), lower, upper);
    return _mm512_srlv_epi16(both, _mm512_slli_epi16(_mm512_and_si512(index, _mm512_set1_epi16(1)), 3));
  }

  __m512i pairs_[kVectors];
};

}  // namespace degreequant::avx512
