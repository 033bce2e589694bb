#include "kernels_x86.h"
#include "quantize_rows.h"
#include "requantize_avx2.h"

namespace degreequant::avx2 {
namespace {

struct QuantizeSimd : EstimateLanes {
  DEGREEQUANT_INLINE static Vector either(Vector a, Vector b) noexcept { return _mm256_or_ps(a, b); }
  DEGREEQUANT_INLINE static bool any(Vector v) noexcept { return _mm256_testz_si256(bits(v), bits(v)) == 0; }
  DEGREEQUANT_INLINE static Vector with_sign_of(Vector v, float magnitude) noexcept {
    return _mm256_or_ps(_mm256_and_ps(v, set(-0.0F)), set(magnitude));
  }
  DEGREEQUANT_INLINE static Integers truncated(Vector v) noexcept { return _mm256_cvttps_epi32(v); }

  // The low bytes of 32 codes.
  DEGREEQUANT_INLINE static Integers packed(Integers a, Integers b, Integers c, Integers d) noexcept {
    const Integers mask = _mm256_set1_epi16(0xff);  // signed and unsigned codes alike
    const Integers low = _mm256_and_si256(_mm256_packs_epi32(a, b), mask), high = _mm256_and_si256(_mm256_packs_epi32(c, d), mask);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
  DEGREEQUANT_INLINE static void store_bytes(uint8_t* p, Integers bytes) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes);
  }
  DEGREEQUANT_INLINE static void store_nibbles(uint8_t* p, Integers bytes) noexcept {
    const Integers nibbles = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    const Integers pairs = _mm256_maddubs_epi16(nibbles, _mm256_set1_epi16(0x1001));  // even + 16 * odd
    const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
  }
  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Integers codes) noexcept {
    store8(type, row, col, count, codes);
  }
};

}  // namespace

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  return quantize_with<QuantizeSimd>(x, inverse_scale, clamp, out, begin, end);
}

}  // namespace degreequant::avx2
