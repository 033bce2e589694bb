#include "float_lanes.h"
#include "float_table.h"
#include "kernels_reference.h"

namespace degreequant::reference {

const FloatKernels float_kernels = kFloatTable<FloatLanes>;

}  // namespace degreequant::reference
