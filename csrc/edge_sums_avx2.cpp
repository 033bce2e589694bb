#include "edge_sums_rows.h"
#include "float_lanes_avx2.h"

namespace degreequant::avx2 {

extern const EdgeSumKernels edge_sums;
const EdgeSumKernels edge_sums = kEdgeSums<FloatLanes>;

}  // namespace degreequant::avx2
