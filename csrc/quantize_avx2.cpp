#include "kernels_x86.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {
namespace {

// roundf: adding 0.5 first would round 0.49999997f up, so the fraction is compared instead. It is exact; that of an infinity is NaN, which
// compares false and leaves the infinity to the clamp.
DEGREEQUANT_INLINE __m256 round_half_away(__m256 value) noexcept {
  const __m256 sign_bit = _mm256_set1_ps(-0.0F);
  const __m256 whole = _mm256_round_ps(value, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m256 fraction = _mm256_andnot_ps(sign_bit, _mm256_sub_ps(value, whole));
  const __m256 one = _mm256_or_ps(_mm256_set1_ps(1.0F), _mm256_and_ps(value, sign_bit));
  return _mm256_add_ps(whole, _mm256_and_ps(one, _mm256_cmp_ps(fraction, _mm256_set1_ps(0.5F), _CMP_GE_OQ)));
}

}  // namespace

void quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  // Clamped as floats, which hold these integers exactly: a huge product fits no integer.
  const __m256 low = _mm256_set1_ps(static_cast<float>(clamp.q_min - clamp.zero_point));
  const __m256 high = _mm256_set1_ps(static_cast<float>(clamp.q_max - clamp.zero_point));
  const __m256 factor = _mm256_set1_ps(inverse_scale);
  const __m256i zero_point = _mm256_set1_epi32(clamp.zero_point);
  const int64_t stride = row_bytes(out.type, out.cols);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < out.cols; col += kLanes) {
      const __m256 value = _mm256_mul_ps(_mm256_maskload_ps(x + row * out.cols + col, first_lanes(out.cols - col)), factor);
      const __m256 steps = _mm256_min_ps(_mm256_max_ps(round_half_away(value), low), high);
      const __m256i codes = _mm256_add_epi32(_mm256_cvttps_epi32(steps), zero_point);
      store8(out.type, out.data + row * stride, col, out.cols - col, codes);
    }
  }
}

}  // namespace degreequant::avx2
