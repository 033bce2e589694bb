#include "edges_rows.h"
#include "kernels_x86.h"
#include "lanes_avx2.h"

namespace degreequant::avx2 {

void edge_softmax(const EdgeSoftmax& softmax, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  edge_softmax_with<Lanes>(softmax, requantize, out, begin, end);
}

void multiply(const Product& product, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  multiply_with<Lanes>(product, requantize, out, begin, end);
}

}  // namespace degreequant::avx2
