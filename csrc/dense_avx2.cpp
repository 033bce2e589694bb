#include "dense_rows.h"
#include "kernels_x86.h"
#include "sums_avx2.h"

namespace degreequant::avx2 {
namespace {

struct DenseSimd : Simd {
  using Estimates = EstimateLanes;

  DEGREEQUANT_INLINE static Vector load_some(const int32_t* p, int64_t count) noexcept {
    return _mm256_maskload_epi32(p, first_lanes(count));
  }
  DEGREEQUANT_INLINE static Vector load_codes(CodeType type, const uint8_t* row, int64_t col, int64_t count) noexcept {
    return load8(type, row, col, count);
  }

  // The codes of a * mantissa of a + b * mantissa of b + addend.
  [[gnu::noinline]] static Vector codes_of_sum(const Addition& sum, Vector a, Vector b, Vector addend) noexcept {
    const __m256i a_mantissa = _mm256_set1_epi64x(sum.a.mantissa);
    const __m256i b_mantissa = _mm256_set1_epi64x(sum.b.mantissa);
    const auto half = [&](__m128i a4, __m128i b4, __m128i addend4) DEGREEQUANT_INLINE_LAMBDA {
      const __m256i a_term = _mm256_mul_epi32(_mm256_cvtepi32_epi64(a4), a_mantissa);
      const __m256i b_term = _mm256_mul_epi32(_mm256_cvtepi32_epi64(b4), b_mantissa);
      return codes_of_products4(_mm256_add_epi64(a_term, b_term), _mm_set1_epi32(sum.shift), addend4, sum.clamp);
    };
    return join8(half(_mm256_castsi256_si128(a), _mm256_castsi256_si128(b), _mm256_castsi256_si128(addend)),
                 half(_mm256_extracti128_si256(a, 1), _mm256_extracti128_si256(b, 1), _mm256_extracti128_si256(addend, 1)));
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

}  // namespace degreequant::avx2
