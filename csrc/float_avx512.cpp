#include "float_lanes_avx512.h"
#include "float_table.h"
#include "kernels_x86.h"

namespace degreequant::avx512 {

const FloatKernels float_kernels = kFloatTable<FloatLanes>;

}  // namespace degreequant::avx512
