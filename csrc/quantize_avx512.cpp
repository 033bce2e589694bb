// Floats to codes at the speed of memory: a vector of 64 codes at a time, one pass that looks for NaNs and infinities as well.
#include "kernels_x86.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {
namespace {

constexpr int64_t kCodes = 64;  // of a whole step

class Quantizer {
 public:
  DEGREEQUANT_INLINE Quantizer(float inverse_scale, Clamp clamp) noexcept
      : factor_(_mm512_set1_ps(inverse_scale)),
        low_(_mm512_set1_ps(static_cast<float>(clamp.q_min - clamp.zero_point))),
        high_(_mm512_set1_ps(static_cast<float>(clamp.q_max - clamp.zero_point))),
        zero_point_(_mm512_set1_epi32(clamp.zero_point)) {}

  // The codes of sixteen floats. roundf is to add the largest float below one half, away from zero, and to cut the fraction off: one half
  // itself would take 0.49999997 to 1. Clamped as floats, which hold these integers exactly: a huge product fits no integer.
  DEGREEQUANT_INLINE __m512i codes(__m512 x) noexcept {
    nonfinite_ = _mm512_or_si512(nonfinite_, _mm512_castps_si512(_mm512_sub_ps(x, x)));  // 0 of a finite number, else NaN
    const __m512 value = _mm512_mul_ps(x, factor_);
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    const __m512i half = _mm512_castps_si512(_mm512_set1_ps(0.49999997F));
    const __m512 away =
        _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(value), sign, half, 0xea));  // value & sign | half
    const __m512 steps = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(value, away), low_), high_);
    return _mm512_add_epi32(_mm512_cvttps_epi32(steps), zero_point_);
  }

  // The same of 64 floats, as bytes.
  DEGREEQUANT_INLINE __m512i bytes(const float* x) noexcept {
    const __m512i low = _mm512_packs_epi32(codes(_mm512_loadu_ps(x)), codes(_mm512_loadu_ps(x + 16)));
    const __m512i high = _mm512_packs_epi32(codes(_mm512_loadu_ps(x + 32)), codes(_mm512_loadu_ps(x + 48)));
    const __m512i mask = _mm512_set1_epi16(0xff);  // signed and unsigned codes alike
    const __m512i mixed = _mm512_packus_epi16(_mm512_and_si512(low, mask), _mm512_and_si512(high, mask));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, mixed);
  }

  DEGREEQUANT_INLINE bool found_nonfinite() const noexcept { return _mm512_test_epi32_mask(nonfinite_, nonfinite_) != 0; }

 private:
  __m512 factor_;
  __m512 low_;
  __m512 high_;
  __m512i zero_point_;
  __m512i nonfinite_ = _mm512_setzero_si512();
};

// `count` floats of one row, or of several that follow each other without a gap.
DEGREEQUANT_INLINE void quantize_run(Quantizer& quantizer, const float* x, CodeType type, uint8_t* out, int64_t count) noexcept {
  int64_t i = 0;
  if (type == CodeType::i8 || type == CodeType::u8) {
    for (; i + kCodes <= count; i += kCodes) _mm512_storeu_si512(out + i, quantizer.bytes(x + i));
  } else if (type == CodeType::i4 || type == CodeType::u4) {
    for (; i + kCodes <= count; i += kCodes) {
      const __m512i nibbles = _mm512_and_si512(quantizer.bytes(x + i), _mm512_set1_epi8(15));
      const __m512i pairs = _mm512_maddubs_epi16(nibbles, _mm512_set1_epi16(0x1001));  // even + 16 * odd
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i / 2), _mm512_cvtepi16_epi8(pairs));
    }
  }
  for (; i < count; i += kLanes) {
    const __mmask16 mask = static_cast<__mmask16>(first_lanes(count - i));
    store16(type, out, i, count - i, quantizer.codes(_mm512_maskz_loadu_ps(mask, x + i)));
  }
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

}  // namespace degreequant::avx512
