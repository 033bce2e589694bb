// The rounding rule on eight accumulators, for whole rows.
#pragma once

#include "estimate.h"
#include "exact.h"
#include "float_lanes_avx2.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {

struct EstimateLanes : FloatLanes {
  using Integers = __m256i;

  DEGREEQUANT_INLINE static Integers set_integer(int32_t value) noexcept { return _mm256_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector to_floats(Integers v) noexcept { return _mm256_cvtepi32_ps(v); }
  DEGREEQUANT_INLINE static Integers bits(Vector v) noexcept { return _mm256_castps_si256(v); }
  DEGREEQUANT_INLINE static Vector as_floats(Integers v) noexcept { return _mm256_castsi256_ps(v); }
  DEGREEQUANT_INLINE static Integers subtract_integers(Integers a, Integers b) noexcept { return _mm256_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers add_integers(Integers a, Integers b) noexcept { return _mm256_add_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers smaller(Integers a, Integers b) noexcept { return _mm256_min_epi32(a, b); }
  DEGREEQUANT_INLINE static Integers larger(Integers a, Integers b) noexcept { return _mm256_max_epi32(a, b); }
  template <int kPlaces>
  DEGREEQUANT_INLINE static Integers shift_right(Integers v) noexcept {
    return _mm256_srli_epi32(v, kPlaces);
  }

  // Unsigned words, two to a lane.
  DEGREEQUANT_INLINE static Integers set_words(int32_t value) noexcept { return _mm256_set1_epi16(static_cast<int16_t>(value)); }
  DEGREEQUANT_INLINE static Integers smaller_words(Integers a, Integers b) noexcept { return _mm256_min_epu16(a, b); }
  DEGREEQUANT_INLINE static bool any_word_within(Integers words, Integers most) noexcept {
    return _mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_min_epu16(words, most), words)) != 0;
  }
};

using Requantizer = EstimatingRequantizer<ExactRequantizer<Wide>, EstimateLanes>;

}  // namespace degreequant::avx2
