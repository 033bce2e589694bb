// What the reference_*.cpp define: every operation as plain loops. They accumulate in 64 bits throughout, so they need no bounds, and they
// serve the vectorised kernels as the fallback for what those do not do themselves.
#pragma once

#include "kernels.h"

namespace degreequant::reference {
#include "kernel_functions.h"
}  // namespace degreequant::reference
