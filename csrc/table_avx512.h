// A table of a byte's length in registers: sixteen entries are looked up there in some ten instructions, without touching memory.
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

}  // namespace degreequant::avx512
