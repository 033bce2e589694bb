#include "aggregate_parts.h"
#include "aggregate_rows.h"
#include "sums_avx2.h"

namespace degreequant::avx2 {

void aggregate_nibbles(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  aggregate_nibbles_with<Simd>(sum, requantize, out, begin, end);
}

}  // namespace degreequant::avx2
