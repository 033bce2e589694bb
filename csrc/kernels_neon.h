// What the files for NEON define, which every aarch64 CPU has; the rest of its table is the reference's.
#pragma once

#include "kernels.h"

namespace degreequant::neon {

Signature<decltype(Kernels::quantize)> quantize;
Signature<decltype(Kernels::linear)> linear;
Signature<decltype(Kernels::aggregate)> aggregate;

}  // namespace degreequant::neon
