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
  // Of b the magnitude; a is one.
  DEGREEQUANT_INLINE static Vector larger_magnitude(Vector a, Vector b) noexcept { return _mm512_range_ps(a, b, 0xb); }
  // The lanes whose magnitude is above the limit, a bit each.
  DEGREEQUANT_INLINE static uint32_t lanes_beyond(Vector v, Vector limit) noexcept {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), limit, _CMP_GT_OQ);
  }
};

using Requantizer = EstimatingRequantizer<ExactRequantizer<Wide>, EstimateLanes>;

}  // namespace degreequant::avx512
