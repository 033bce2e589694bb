#include "kernels_x86.h"
#include "quantize_rows.h"
#include "requantize_avx512.h"

namespace degreequant::avx512 {
namespace {

struct QuantizeSimd : EstimateLanes {
  DEGREEQUANT_INLINE static Vector either(Vector a, Vector b) noexcept { return _mm512_or_ps(a, b); }
  DEGREEQUANT_INLINE static bool any(Vector v) noexcept { return _mm512_test_epi32_mask(bits(v), bits(v)) != 0; }
  DEGREEQUANT_INLINE static Vector with_sign_of(Vector v, float magnitude) noexcept {
    const Integers sign = _mm512_set1_epi32(INT32_MIN);
    return as_floats(_mm512_ternarylogic_epi32(bits(v), sign, bits(set(magnitude)), 0xea));  // v & sign | magnitude
  }
  DEGREEQUANT_INLINE static Integers truncated(Vector v) noexcept { return _mm512_cvttps_epi32(v); }

  // The low bytes of 64 codes.
  DEGREEQUANT_INLINE static Integers packed(Integers a, Integers b, Integers c, Integers d) noexcept {
    const Integers mask = _mm512_set1_epi16(0xff);  // signed and unsigned codes alike
    const Integers low = _mm512_and_si512(_mm512_packs_epi32(a, b), mask), high = _mm512_and_si512(_mm512_packs_epi32(c, d), mask);
    const Integers order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
  }
  DEGREEQUANT_INLINE static void store_bytes(uint8_t* p, Integers bytes) noexcept { _mm512_storeu_si512(p, bytes); }
  DEGREEQUANT_INLINE static void store_nibbles(uint8_t* p, Integers bytes) noexcept {
    const Integers nibbles = _mm512_and_si512(bytes, _mm512_set1_epi8(15));
    const Integers pairs = _mm512_maddubs_epi16(nibbles, _mm512_set1_epi16(0x1001));  // even + 16 * odd
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi16_epi8(pairs));
  }
  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Integers codes) noexcept {
    store16(type, row, col, count, codes);
  }
};

}  // namespace

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  return quantize_with<QuantizeSimd>(x, inverse_scale, clamp, out, begin, end);
}

}  // namespace degreequant::avx512
