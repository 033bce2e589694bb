#include "dense_rows.h"
#include "kernels_x86.h"
#include "sums_avx512.h"

namespace degreequant::avx512 {
namespace {

struct DenseSimd : Simd {
  using Estimates = EstimateLanes;

  DEGREEQUANT_INLINE static Vector load_some(const int32_t* p, int64_t count) noexcept {
    return _mm512_maskz_loadu_epi32(static_cast<__mmask16>(first_lanes(count)), p);
  }
  DEGREEQUANT_INLINE static Vector load_codes(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
    return load16(type, row, col, count);
  }

  // The codes of a * mantissa of a + b * mantissa of b + addend.
  [[gnu::noinline]] static Vector codes_of_sum(const Addition& sum, Vector a, Vector b, Vector addend) noexcept {
    const __m512i a_mantissa = _mm512_set1_epi64(sum.a.mantissa);
    const __m512i b_mantissa = _mm512_set1_epi64(sum.b.mantissa);
    const auto half = [&](__m256i a8, __m256i b8, __m256i addend8) DEGREEQUANT_INLINE_LAMBDA {
      const __m512i a_term = _mm512_mul_epi32(_mm512_cvtepi32_epi64(a8), a_mantissa);
      const __m512i b_term = _mm512_mul_epi32(_mm512_cvtepi32_epi64(b8), b_mantissa);
      return codes_of_products8(_mm512_add_epi64(a_term, b_term), _mm512_set1_epi64(sum.shift), addend8, sum.clamp);
    };
    const __m256i low = half(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b), _mm512_castsi512_si256(addend));
    const __m256i high = half(_mm512_extracti64x4_epi64(a, 1), _mm512_extracti64x4_epi64(b, 1), _mm512_extracti64x4_epi64(addend, 1));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
};

}  // namespace

void add(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept {
  add_with<DenseSimd>(addition, out, begin, end);
}

void rescale(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
             int64_t end) noexcept {
  rescale_with<DenseSimd>(x, zero_point, requantize, out, offset, begin, end);
}

void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  lookup_with<DenseSimd>(x, table, out, begin, end);
}

}  // namespace degreequant::avx512
