#include "aggregate_parts.h"
#include "aggregate_words.h"
#include "lanes_avx2.h"

namespace degreequant::avx2 {

void aggregate_words(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  aggregate_words_with<Lanes>(sum, requantize, out, begin, end);
}

}  // namespace degreequant::avx2
