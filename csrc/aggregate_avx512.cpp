#include "aggregate_parts.h"
#include "aggregate_rows.h"
#include "kernels_x86.h"
#include "sums_avx512.h"

namespace degreequant::avx512 {

void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  switch (sum.x.type) {
    case CodeType::i4:
    case CodeType::u4:
      return aggregate_nibbles(sum, requantize, out, begin, end);
    case CodeType::i8:
    case CodeType::u8:
      return aggregate_bytes_with<Simd>(sum, requantize, out, begin, end);
    default:
      return aggregate_words(sum, requantize, out, begin, end);
  }
}

}  // namespace degreequant::avx512
