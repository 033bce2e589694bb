// What the reference_*.cpp define: every operation as plain loops. They accumulate in 64 bits throughout, so they need no bounds, and they
// serve the vectorised kernels as the fallback for what those do not do themselves. The contract of each function is in kernels.h.
#pragma once

#include "kernels.h"

namespace degreequant::reference {

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept;
void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept;
void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept;
void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void edge_softmax(const EdgeSoftmax& softmax, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void multiply(const Product& product, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void add(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept;
void rescale(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
             int64_t end) noexcept;
void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept;

}  // namespace degreequant::reference
