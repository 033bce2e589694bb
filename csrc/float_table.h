// The table of float32 kernels for what one instruction set calls its vectors.
#pragma once

#include "float_aggregate.h"
#include "float_attend.h"
#include "float_dense.h"
#include "float_gemm.h"
#include "float_softmax.h"

namespace degreequant {

template <typename Lanes>
constexpr FloatKernels kFloatTable = {
    .linear = float_linear<Lanes>,
    .aggregate = float_aggregate<Lanes>,
    .maximum = float_maximum<Lanes>,
    .attend = float_attend<Lanes>,
    .rescale = float_rescale<Lanes>,
    .add = float_add<Lanes>,
    .activate = float_activate<Lanes>,
    .dequantize = float_dequantize<Lanes>,
    .log_softmax = float_log_softmax<Lanes>,
    .softmax = float_softmax<Lanes>,
};

}  // namespace degreequant
