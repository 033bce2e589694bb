// The rounding rule on four accumulators, for whole rows, and storing four codes.
#pragma once

#include <arm_neon.h>

#include "kernels.h"
#include "reference_codes.h"

namespace degreequant::neon {

constexpr int64_t kLanes = 4;

// Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
// go down instead, and it is not positive with its half.
DEGREEQUANT_INLINE int64x2_t shift_rounded(int64x2_t value, int64x2_t shift) noexcept {
  const int64x2_t minus_one_if_low = vreinterpretq_s64_u64(vclezq_s64(value));
  return vshlq_s64(vaddq_s64(value, minus_one_if_low), vnegq_s64(shift));
}

class Requantizer {
 public:
  DEGREEQUANT_INLINE explicit Requantizer(const Requantize& rule) noexcept : rule_(rule) {
    if (rule.channel.count == 1) all_ = bounded(rule.channel.at(0));
  }

  // Before the first codes of each row.
  DEGREEQUANT_INLINE void start_row(int64_t row) noexcept {
    row_ = row;
    if (rule_.channel.count == 1 && rule_.row.count != 0) all_ = rule_.multiplier(row, 0);
  }

  // The codes of the first `count` of four accumulators of a row's columns from `col` on, a multiple of 4.
  DEGREEQUANT_INLINE int32x4_t codes(int32x4_t acc, int64_t col, int64_t count) const noexcept {
    const int32x2_t low = rounded2(vget_low_s32(acc), col, count);
    const int32x2_t high = rounded2(vget_high_s32(acc), col + 2, count - 2);
    const Clamp clamp = rule_.clamp;
    const int32x4_t most = vminq_s32(vcombine_s32(low, high), vdupq_n_s32(clamp.q_max - clamp.zero_point));
    return vaddq_s32(vmaxq_s32(most, vdupq_n_s32(clamp.q_min - clamp.zero_point)), vdupq_n_s32(clamp.zero_point));
  }

 private:
  // Rounded, as int32, of which those that do not fit are the extremes.
  DEGREEQUANT_INLINE int32x2_t rounded2(int32x2_t acc, int64_t col, int64_t count) const noexcept {
    int32_t mantissas[2] = {};
    int64_t shifts[2] = {kAddendBits, kAddendBits};
    int64_t roundings[2] = {};
    for (int64_t i = 0; i < 2 && i < count; ++i) {
      const Multiplier m = rule_.channel.count == 1 ? all_ : rule_.multiplier(row_, col + i);
      const int64_t bias = int64_t{rule_.addend_at(col + i)} + (1 << (kAddendBits - 1));
      mantissas[i] = m.mantissa;
      shifts[i] = m.shift;
      roundings[i] = bias * (int64_t{1} << (m.shift - kAddendBits));
    }
    const int64x2_t value = vmlal_s32(vld1q_s64(roundings), acc, vld1_s32(mantissas));
    return vqmovn_s64(shift_rounded(value, vld1q_s64(shifts)));
  }

  Requantize rule_;
  Multiplier all_ = {0, kAddendBits};  // of every channel, where they share one
  int64_t row_ = 0;
};

// Stores the first `count` of four codes from column `col` on, an even number.
DEGREEQUANT_INLINE void store4(CodeType type, uint8_t* row, int64_t col, int64_t count, int32x4_t codes) noexcept {
  int32_t lanes[kLanes];
  vst1q_s32(lanes, codes);
  for (int64_t i = 0; i < kLanes && i < count; ++i) reference::store_code(type, row, col + i, lanes[i]);
}

}  // namespace degreequant::neon
