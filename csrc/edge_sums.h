// What a training step of attention sums over edges, in float32: the neighbours' features, each head's weighted by a number of the edge,
// and the gradients. The same to the bit on every instruction set and for any number of threads.
#pragma once

#include <cstdint>
#include <string_view>

namespace degreequant {

// Row-major float32 [rows, heads, channels].
struct HeadRows {
  const float* values;
  int64_t heads;
  int64_t channels;

  const float* row(int64_t index) const noexcept { return values + index * heads * channels; }
};

// The edges at each row, those of row r from begins[r] to begins[r + 1]: the row at their other end, and which of all edges they are: each
// of them once, which nobody checks.
struct EdgesByRow {
  const int64_t* begins;
  const int64_t* others;
  const int64_t* edges;
};

struct EdgeSumKernels {
  // out[r] = sum over the edges e of row r, in order, of weight[e] * x[other end]; weights are [edges, heads].
  void (*sum)(const HeadRows& x, const float* weight, const EdgesByRow& at, float* out, int64_t begin, int64_t end) noexcept;
  // out[e] = the dot products of the heads of y[r] and x[other end], for the edges e of the rows; out is [edges, heads].
  void (*dot)(const HeadRows& x, const HeadRows& y, const EdgesByRow& at, float* out, int64_t begin, int64_t end) noexcept;
};

// Those of an instruction set of dispatch.h, by its name.
const EdgeSumKernels& edge_sum_kernels(std::string_view isa) noexcept;

}  // namespace degreequant
