#include "kernels_x86.h"
#include "maximum_rows.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {
namespace {

struct MaximumSimd {
  static constexpr int64_t kBytes = 64;
  using Vector = __m512i;

  DEGREEQUANT_INLINE static Vector load(const uint8_t* p, int64_t left, const uint8_t*) noexcept {
    return _mm512_maskz_loadu_epi8(first_lanes(left), p);
  }
  DEGREEQUANT_INLINE static void store(uint8_t* p, int64_t left, Vector v) noexcept { _mm512_mask_storeu_epi8(p, first_lanes(left), v); }

  template <CodeType type>
  DEGREEQUANT_INLINE static Vector larger(Vector a, Vector b) noexcept {
    if constexpr (type == CodeType::i8) return _mm512_max_epi8(a, b);
    if constexpr (type == CodeType::u8) return _mm512_max_epu8(a, b);
    if constexpr (type == CodeType::i16) return _mm512_max_epi16(a, b);
    if constexpr (type == CodeType::u16) return _mm512_max_epu16(a, b);
    // Nibbles in their places; with their sign bits flipped, signed ones are ordered as unsigned ones are.
    const Vector flip = _mm512_set1_epi8(static_cast<char>(type == CodeType::i4 ? 0x88 : 0));
    const Vector low = _mm512_set1_epi8(15);
    const Vector x = _mm512_xor_si512(a, flip), y = _mm512_xor_si512(b, flip);
    const Vector lower = _mm512_max_epu8(_mm512_and_si512(x, low), _mm512_and_si512(y, low));
    const Vector upper = _mm512_max_epu8(_mm512_andnot_si512(low, x), _mm512_andnot_si512(low, y));
    return _mm512_xor_si512(_mm512_or_si512(lower, upper), flip);
  }
};

}  // namespace

void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  maximum_with<MaximumSimd>(x, csr, empty, out, begin, end);
}

}  // namespace degreequant::avx512
