// The rounding rule on sixteen accumulators, for whole rows.
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
};

using Requantizer = EstimatingRequantizer<ExactRequantizer<Wide>, EstimateLanes>;

}  // namespace degreequant::avx512
