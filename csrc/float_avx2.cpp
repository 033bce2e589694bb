#include "float_lanes_avx2.h"
#include "float_table.h"
#include "kernels_x86.h"

namespace degreequant::avx2 {

const FloatKernels float_kernels = kFloatTable<FloatLanes>;

}  // namespace degreequant::avx2
