// The rounding rule on four accumulators, for whole rows, and storing four codes.
#pragma once

#include <arm_neon.h>

#include "exact.h"
#include "reference_codes.h"

namespace degreequant::neon {

constexpr int64_t kLanes = 4;

// Two 64-bit lanes (exact.h), with what the requantizer takes of them.
struct Wide {
  static constexpr int64_t kLanes = 2;
  using Vector = int64x2_t;
  using Half = int32x2_t;
  using Whole = int32x4_t;

  DEGREEQUANT_INLINE static Vector set(int64_t value) noexcept { return vdupq_n_s64(value); }
  DEGREEQUANT_INLINE static Vector load(const int64_t* p) noexcept { return vld1q_s64(p); }
  DEGREEQUANT_INLINE static Vector load_some(const int64_t* p, int64_t count) noexcept {
    return count >= kLanes ? load(p) : vsetq_lane_s64(count > 0 ? *p : 0, set(0), 0);
  }
  DEGREEQUANT_INLINE static Half load_some(const int32_t* p, int64_t count) noexcept {
    return count >= kLanes ? vld1_s32(p) : vset_lane_s32(count > 0 ? *p : 0, vdup_n_s32(0), 0);
  }

  DEGREEQUANT_INLINE static Half low(Whole v) noexcept { return vget_low_s32(v); }
  DEGREEQUANT_INLINE static Half high(Whole v) noexcept { return vget_high_s32(v); }
  DEGREEQUANT_INLINE static Vector widen(Half v) noexcept { return vmovl_s32(v); }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return vaddq_s64(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return vsubq_s64(a, b); }
  // Of lanes that fit 32 bits.
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept { return vmull_s32(vmovn_s64(a), vmovn_s64(b)); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, Vector places) noexcept { return vshlq_s64(v, places); }
  DEGREEQUANT_INLINE static Vector where_greater(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return vbslq_s64(vcgtq_s64(a, b), yes, no);
  }
  DEGREEQUANT_INLINE static bool any_greater(Vector a, Vector b) noexcept {
    return vmaxvq_u32(vreinterpretq_u32_u64(vcgtq_s64(a, b))) != 0;
  }
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept { return where_greater(a, b, b, a); }
  DEGREEQUANT_INLINE static Vector limited(Vector v, int64_t low, int64_t high) noexcept {
    const Vector at_most = minimum(v, set(high));
    return where_greater(set(low), at_most, set(low), at_most);
  }

  // Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
  // go down instead, and it is not positive with its half.
  DEGREEQUANT_INLINE static Vector shift_rounded(Vector value, Vector shift) noexcept {
    const Vector minus_one_if_low = vreinterpretq_s64_u64(vclezq_s64(value));
    return vshlq_s64(vaddq_s64(value, minus_one_if_low), vnegq_s64(shift));
  }

  // Steps of the output as codes.
  DEGREEQUANT_INLINE static Whole codes(Vector low, Vector high, Clamp clamp) noexcept {
    const Whole steps = vcombine_s32(vqmovn_s64(low), vqmovn_s64(high));  // the extremes where they do not fit
    const Whole at_most = vminq_s32(steps, vdupq_n_s32(clamp.q_max - clamp.zero_point));
    return vaddq_s32(vmaxq_s32(at_most, vdupq_n_s32(clamp.q_min - clamp.zero_point)), vdupq_n_s32(clamp.zero_point));
  }
};

using Requantizer = ExactRequantizer<Wide>;

// Stores the first `count` of four codes from column `col` on, an even number.
DEGREEQUANT_INLINE void store4(CodeType type, uint8_t* row, int64_t col, int64_t count, int32x4_t codes) noexcept {
  int32_t lanes[kLanes];
  vst1q_s32(lanes, codes);
  for (int64_t i = 0; i < kLanes && i < count; ++i) reference::store_code(type, row, col + i, lanes[i]);
}

}  // namespace degreequant::neon
