// The tables of kernels this library was compiled with, and those this CPU can run.
#pragma once

#include <span>

#include "kernels.h"

namespace degreequant {

// In rising order of speed; the reference is first and runs everywhere.
std::span<const Kernels* const> compiled_kernels() noexcept;
std::span<const Kernels* const> available_kernels() noexcept;

}  // namespace degreequant
