// Kernels that bring channels of one row together, or rows of one graph: plain loops (reference_rows.cpp), the same for every instruction
// set. Their meaning is docs/numerics.md.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace degreequant {

// What the elements of a set are divided by: nothing, the root of their mean square, or the root of their number.
enum class Divisor : uint8_t { kNone, kDeviation, kSize };

// A mean taken away, and a division, over sets of elements.
struct Standardization {
  Codes x;
  int32_t zero_point;
  const int32_t* centre;  // how much of the mean goes, in 2^-14: of each channel, or of all
  int64_t centres;
  double inner;  // added to the mean square
  double outer;  // added to its root
  Divisor divisor;
};

// y[r,g,i,j] = sum over k of a[r,g,i,k] * b[r,g,k,j].
struct Contraction {
  Codes a;
  Codes b;
  int32_t a_zero;
  int32_t b_zero;
  int64_t groups;
  int64_t rows;   // of each matrix of a
  int64_t inner;  // what is summed over
  int64_t cols;   // of each matrix of b
};

// The shares of the channels of each group: w = table[largest logit of the group - logit], over the sum of these.
struct RowSoftmax {
  Codes logits;  // of 8 bits
  int64_t groups;
  const int16_t* table;  // 256 weights, none negative, the first positive
};

// y[r,o,i] = the largest of x[r,o,k,i].
struct Largest {
  Codes x;
  int64_t outer;
  int64_t size;
  int64_t inner;
};

namespace reference {

// The sets are the `groups` of channels of each row that lie together.
void standardize_rows(const Standardization& s, int64_t groups, const Requantize& rule, MutableCodes out, int64_t begin,
                      int64_t end) noexcept;

// The sets lie in the rows of x that a row of the csr names: each of their channels by itself, or all of them as one. Rows [begin, end) of
// the csr; what is written are the rows of `out` that these name.
void standardize_graphs(const Standardization& s, Csr csr, bool each_channel, const Requantize& rule, MutableCodes out, int64_t begin,
                        int64_t end) noexcept;

void contract(const Contraction& c, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept;

void row_softmax(const RowSoftmax& softmax, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept;

void largest(const Largest& l, MutableCodes out, int64_t begin, int64_t end) noexcept;

}  // namespace reference
}  // namespace degreequant
