// Kernels between nodes and edges, and products of tensors: plain loops (reference_edges.cpp), the same for every instruction set.
// Their meaning is docs/numerics.md.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace degreequant {

// acc[i,c] = (a[i,c] - zero point of a) * (b[i, c / repeat] - zero point of b); below 2^33 in magnitude.
struct Product {
  Codes a;
  Codes b;  // of a.cols / repeat columns
  int32_t a_zero;
  int32_t b_zero;
  int64_t repeat;
};

// The shares of the edges of a row: w = table[largest logit of the row - logit], over the sum of these. Row i of the csr holds the
// positions of its edges among the rows of `logits` and of the output.
struct EdgeSoftmax {
  Codes logits;  // of 8 bits
  Csr csr;
  const int16_t* table;  // 256 weights, none negative, the first positive
};

namespace reference {

void multiply(const Product& product, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept;

// The edges of the rows [begin, end).
void edge_softmax(const EdgeSoftmax& softmax, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept;

}  // namespace reference
}  // namespace degreequant
