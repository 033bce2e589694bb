#include "dense_rows.h"
#include "kernels_x86.h"
#include "lanes_avx2.h"

namespace degreequant::avx2 {

void add(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept { add_with<Lanes>(addition, out, begin, end); }

void rescale(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
             int64_t end) noexcept {
  rescale_with<Lanes>(x, zero_point, requantize, out, offset, begin, end);
}

void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  lookup_with<Lanes>(x, table, out, begin, end);
}

}  // namespace degreequant::avx2
