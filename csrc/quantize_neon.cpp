#include "kernels_neon.h"
#include "requantize_neon.h"

namespace degreequant::neon {

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  // Clamped as floats, which hold these integers exactly; the conversion rounds halves away from zero.
  const float32x4_t low = vdupq_n_f32(static_cast<float>(clamp.q_min - clamp.zero_point));
  const float32x4_t high = vdupq_n_f32(static_cast<float>(clamp.q_max - clamp.zero_point));
  uint32x4_t nonfinite = vdupq_n_u32(0);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < out.cols; col += kLanes) {
      const int64_t count = out.cols - col < kLanes ? out.cols - col : kLanes;
      float values[kLanes] = {};
      __builtin_memcpy(values, x + row * out.cols + col, static_cast<size_t>(count) * sizeof(float));
      const float32x4_t value = vld1q_f32(values);
      nonfinite = vorrq_u32(nonfinite, vreinterpretq_u32_f32(vsubq_f32(value, value)));  // 0 of a finite number, else NaN
      const float32x4_t steps = vminq_f32(vmaxq_f32(vmulq_n_f32(value, inverse_scale), low), high);
      const int32x4_t codes = vaddq_s32(vcvtaq_s32_f32(steps), vdupq_n_s32(clamp.zero_point));
      store4(out.type, out.row(row), col, count, codes);
    }
  }
  return vmaxvq_u32(nonfinite) == 0;
}

}  // namespace degreequant::neon
