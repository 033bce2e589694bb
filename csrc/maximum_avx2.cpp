#include "kernels_x86.h"
#include "maximum_rows.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {
namespace {

struct MaximumSimd {
  static constexpr int64_t kBytes = 32;
  using Vector = __m256i;

  // Where a whole vector would reach beyond the matrix, which ends at `end`, the row's bytes are copied first.
  DEGREEQUANT_INLINE static Vector load(const uint8_t* p, int64_t left, const uint8_t* end) noexcept {
    if (end - p >= kBytes) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    alignas(32) uint8_t copy[kBytes] = {};
    for (int64_t i = 0; i < left && i < kBytes; ++i) copy[i] = p[i];
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(copy));
  }
  DEGREEQUANT_INLINE static void store(uint8_t* p, int64_t left, Vector v) noexcept {
    if (left >= kBytes) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
    alignas(32) uint8_t copy[kBytes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(copy), v);
    for (int64_t i = 0; i < left; ++i) p[i] = copy[i];
  }

  DEGREEQUANT_INLINE static Vector set(int byte) noexcept { return _mm256_set1_epi8(static_cast<char>(byte)); }
  DEGREEQUANT_INLINE static Vector bit_and(Vector a, Vector b) noexcept { return _mm256_and_si256(a, b); }
  DEGREEQUANT_INLINE static Vector bit_xor(Vector a, Vector b) noexcept { return _mm256_xor_si256(a, b); }

  template <CodeType type>
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept {
    if constexpr (type == CodeType::i8) return _mm256_max_epi8(a, b);
    if constexpr (type == CodeType::u8) return _mm256_max_epu8(a, b);
    if constexpr (type == CodeType::i16) return _mm256_max_epi16(a, b);
    return _mm256_max_epu16(a, b);
  }
};

}  // namespace

void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  maximum_with<MaximumSimd>(x, csr, empty, out, begin, end);
}

}  // namespace degreequant::avx2
