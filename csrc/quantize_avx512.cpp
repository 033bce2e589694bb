#include "kernels_x86.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {
namespace {

// roundf: adding 0.5 first would round 0.49999997f up, so the fraction is compared instead. It is exact; that of an infinity is NaN, which
// compares false and leaves the infinity to the clamp.
DEGREEQUANT_INLINE __m512 round_half_away(__m512 value) noexcept {
  const __m512 whole = _mm512_roundscale_ps(value, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m512 fraction = _mm512_abs_ps(_mm512_sub_ps(value, whole));
  const __m512 sign = _mm512_and_ps(value, _mm512_set1_ps(-0.0F));
  const __mmask16 away = _mm512_cmp_ps_mask(fraction, _mm512_set1_ps(0.5F), _CMP_GE_OQ);
  return _mm512_mask_add_ps(whole, away, whole, _mm512_or_ps(_mm512_set1_ps(1.0F), sign));
}

}  // namespace

void quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  // Clamped as floats, which hold these integers exactly: a huge product fits no integer.
  const __m512 low = _mm512_set1_ps(static_cast<float>(clamp.q_min - clamp.zero_point));
  const __m512 high = _mm512_set1_ps(static_cast<float>(clamp.q_max - clamp.zero_point));
  const __m512 factor = _mm512_set1_ps(inverse_scale);
  const __m512i zero_point = _mm512_set1_epi32(clamp.zero_point);
  const int64_t stride = row_bytes(out.type, out.cols);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < out.cols; col += kLanes) {
      const __mmask16 mask = static_cast<__mmask16>(first_lanes(out.cols - col));
      const __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + row * out.cols + col), factor);
      const __m512 steps = _mm512_min_ps(_mm512_max_ps(round_half_away(value), low), high);
      const __m512i codes = _mm512_add_epi32(_mm512_cvttps_epi32(steps), zero_point);
      store16(out.type, out.data + row * stride, col, out.cols - col, codes);
    }
  }
}

}  // namespace degreequant::avx512
