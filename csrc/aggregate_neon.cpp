#include "aggregate_rows.h"
#include "kernels_neon.h"
#include "sums_neon.h"

namespace degreequant::neon {

void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  aggregate_with<Simd>(sum, requantize, out, begin, end);
}

}  // namespace degreequant::neon
