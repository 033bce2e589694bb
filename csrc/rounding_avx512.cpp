#include "rounding_rows.h"

namespace degreequant::avx512 {

extern const RoundingKernels rounding;
const RoundingKernels rounding = {.round = degreequant::round, .pass = degreequant::pass};

}  // namespace degreequant::avx512
