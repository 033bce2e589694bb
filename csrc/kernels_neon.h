// What the files for NEON define, which every aarch64 CPU has; the rest of its table is the reference's. The contract of each function is
// in kernels.h.
#pragma once

#include "kernels.h"

namespace degreequant::neon {

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept;
void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept;
void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;

}  // namespace degreequant::neon
