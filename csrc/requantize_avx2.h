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
  DEGREEQUANT_INLINE static Vector magnitude(Vector v) noexcept { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), v); }
  // Of b the magnitude; a is one.
  DEGREEQUANT_INLINE static Vector larger_magnitude(Vector a, Vector b) noexcept { return _mm256_max_ps(a, magnitude(b)); }
  // The lanes whose magnitude is above the limit, a bit each.
  DEGREEQUANT_INLINE static uint32_t lanes_beyond(Vector v, Vector limit) noexcept {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(magnitude(v), limit, _CMP_GT_OQ)));
  }
};

using Requantizer = EstimatingRequantizer<ExactRequantizer<Wide>, EstimateLanes>;

}  // namespace degreequant::avx2
