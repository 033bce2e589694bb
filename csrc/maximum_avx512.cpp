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

  DEGREEQUANT_INLINE static Vector set(int byte) noexcept { return _mm512_set1_epi8(static_cast<char>(byte)); }
  DEGREEQUANT_INLINE static Vector bit_and(Vector a, Vector b) noexcept { return _mm512_and_si512(a, b); }
  DEGREEQUANT_INLINE static Vector bit_xor(Vector a, Vector b) noexcept { return _mm512_xor_si512(a, b); }

  template <CodeType type>
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept {
    if constexpr (type == CodeType::i8) return _mm512_max_epi8(a, b);
    if constexpr (type == CodeType::u8) return _mm512_max_epu8(a, b);
    if constexpr (type == CodeType::i16) return _mm512_max_epi16(a, b);
    return _mm512_max_epu16(a, b);
  }
};

}  // namespace

void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  maximum_with<MaximumSimd>(x, csr, empty, out, begin, end);
}

}  // namespace degreequant::avx512
