#include "edge_sums_rows.h"
#include "float_lanes_avx512.h"

namespace degreequant::avx512 {

extern const EdgeSumKernels edge_sums;
const EdgeSumKernels edge_sums = kEdgeSums<FloatLanes>;

}  // namespace degreequant::avx512
