#include "rounding_rows.h"

namespace degreequant::avx2 {

extern const RoundingKernels rounding;
const RoundingKernels rounding = {.round = degreequant::round, .pass = degreequant::pass};

}  // namespace degreequant::avx2
