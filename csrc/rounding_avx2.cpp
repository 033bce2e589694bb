#include "rounding_rows.h"

namespace degreequant::avx2 {

extern const RoundingKernels rounding;
const RoundingKernels rounding = {.round = degreequant::round, .round_channels = degreequant::round_channels, .pass = degreequant::pass};

}  // namespace degreequant::avx2
