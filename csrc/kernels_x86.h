// What the files compiled for one instruction set define; dispatch.cpp makes tables of it, so that no file with AVX flags holds data or
// code that runs before the CPU is known. The contract of each function is in kernels.h.
#pragma once

#include "kernels.h"

namespace degreequant {

namespace avx2 {
bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept;
void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept;
void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void aggregate_nibbles(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin,
                       int64_t end) noexcept;  // what aggregate calls for codes of 4 bits
void aggregate_words(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin,
                     int64_t end) noexcept;  // the same for 16
void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept;
void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void edge_softmax(const EdgeSoftmax& softmax, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void multiply(const Product& product, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void add(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept;
void rescale(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
             int64_t end) noexcept;
void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept;
}  // namespace avx2

namespace avx512 {
bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept;
void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept;
void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void aggregate_nibbles(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin,
                       int64_t end) noexcept;  // what aggregate calls for codes of 4 bits
void aggregate_words(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin,
                     int64_t end) noexcept;  // the same for 16
void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept;
void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void edge_softmax(const EdgeSoftmax& softmax, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void multiply(const Product& product, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;
void add(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept;
void rescale(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
             int64_t end) noexcept;
void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept;
}  // namespace avx512

}  // namespace degreequant
