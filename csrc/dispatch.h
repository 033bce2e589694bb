// The tables of kernels that this CPU can run.
#pragma once

#include <span>

#include "kernels.h"

namespace degreequant {

// In rising order of speed; the reference is first and runs everywhere.
std::span<const Kernels* const> available_kernels() noexcept;

}  // namespace degreequant
