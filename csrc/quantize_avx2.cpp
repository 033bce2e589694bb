// Floats to codes at the speed of memory: a vector of 32 codes at a time, one pass that looks for NaNs and infinities as well.
#include "kernels_x86.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {
namespace {

constexpr int64_t kCodes = 32;  // of a whole step

class Quantizer {
 public:
  DEGREEQUANT_INLINE Quantizer(float inverse_scale, Clamp clamp) noexcept
      : factor_(_mm256_set1_ps(inverse_scale)),
        low_(_mm256_set1_ps(static_cast<float>(clamp.q_min - clamp.zero_point))),
        high_(_mm256_set1_ps(static_cast<float>(clamp.q_max - clamp.zero_point))),
        zero_point_(_mm256_set1_epi32(clamp.zero_point)) {}

  // The codes of eight floats. roundf is to add the largest float below one half, away from zero, and to cut the fraction off: one half
  // itself would take 0.49999997 to 1. Clamped as floats, which hold these integers exactly: a huge product fits no integer.
  DEGREEQUANT_INLINE __m256i codes(__m256 x) noexcept {
    nonfinite_ = _mm256_or_ps(nonfinite_, _mm256_sub_ps(x, x));  // 0 of a finite number, else NaN
    const __m256 value = _mm256_mul_ps(x, factor_);
    const __m256 away = _mm256_or_ps(_mm256_and_ps(value, _mm256_set1_ps(-0.0F)), _mm256_set1_ps(0.49999997F));
    const __m256 steps = _mm256_min_ps(_mm256_max_ps(_mm256_add_ps(value, away), low_), high_);
    return _mm256_add_epi32(_mm256_cvttps_epi32(steps), zero_point_);
  }

  // The same of 32 floats, as bytes.
  DEGREEQUANT_INLINE __m256i bytes(const float* x) noexcept {
    const __m256i low = _mm256_packs_epi32(codes(_mm256_loadu_ps(x)), codes(_mm256_loadu_ps(x + 8)));
    const __m256i high = _mm256_packs_epi32(codes(_mm256_loadu_ps(x + 16)), codes(_mm256_loadu_ps(x + 24)));
    const __m256i mask = _mm256_set1_epi16(0xff);  // signed and unsigned codes alike
    const __m256i mixed = _mm256_packus_epi16(_mm256_and_si256(low, mask), _mm256_and_si256(high, mask));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  DEGREEQUANT_INLINE bool found_nonfinite() const noexcept {
    const __m256i bits = _mm256_castps_si256(nonfinite_);
    return _mm256_testz_si256(bits, bits) == 0;
  }

 private:
  __m256 factor_;
  __m256 low_;
  __m256 high_;
  __m256i zero_point_;
  __m256 nonfinite_ = _mm256_setzero_ps();
};

// `count` floats of one row, or of several that follow each other without a gap.
DEGREEQUANT_INLINE void quantize_run(Quantizer& quantizer, const float* x, CodeType type, uint8_t* out, int64_t count) noexcept {
  int64_t i = 0;
  if (type == CodeType::i8 || type == CodeType::u8) {
    for (; i + kCodes <= count; i += kCodes) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), quantizer.bytes(x + i));
  } else if (type == CodeType::i4 || type == CodeType::u4) {
    for (; i + kCodes <= count; i += kCodes) {
      const __m256i nibbles = _mm256_and_si256(quantizer.bytes(x + i), _mm256_set1_epi8(15));
      const __m256i pairs = _mm256_maddubs_epi16(nibbles, _mm256_set1_epi16(0x1001));  // even + 16 * odd
      const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i / 2), packed);
    }
  }
  for (; i < count; i += kLanes) store8(type, out, i, count - i, quantizer.codes(_mm256_maskload_ps(x + i, first_lanes(count - i))));
}

}  // namespace

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  Quantizer quantizer(inverse_scale, clamp);
  const int64_t rows = out.is_gapless() ? end - begin : 1;  // at a time
  for (int64_t row = begin; row < end; row += rows) {
    quantize_run(quantizer, x + row * out.cols, out.type, out.row(row), rows * out.cols);
  }
  return !quantizer.found_nonfinite();
}

}  // namespace degreequant::avx2
