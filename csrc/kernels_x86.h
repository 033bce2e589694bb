// What the files compiled for one instruction set define; dispatch.cpp makes tables of it, so that no file with AVX flags holds data or
// code that runs before the CPU is known.
#pragma once

#include "kernels.h"

namespace degreequant {

namespace avx2 {
#include "kernel_functions.h"
}  // namespace avx2

namespace avx512 {
#include "kernel_functions.h"
}  // namespace avx512

}  // namespace degreequant
