// What the vectorised neighbour sums share, whatever the instruction set.
#pragma once

#include "kernels.h"
#include "kernels_reference.h"

namespace degreequant {

constexpr int64_t kPrefetchEdges = 12;  // how far ahead a gathered row is asked for

struct Aggregation {
  NeighbourSum sum;
  Requantize rule;
  MutableCodes out;
  int64_t stride;      // of x, in bytes
  int64_t out_stride;  // in bytes
  int64_t last_edge;   // of the rows to be computed: none is asked for beyond it

  DEGREEQUANT_INLINE void reference_row(int64_t row) const noexcept { reference::aggregate(sum, rule, out, row, row + 1); }
};

DEGREEQUANT_INLINE Aggregation make_aggregation(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t end) noexcept {
  return {sum, rule, out, row_bytes(sum.x.type, sum.x.cols), row_bytes(out.type, out.cols), sum.csr.indptr[end] - 1};
}

// Whether sum |coefficient| * max|x| reaches 2^31, so that the row's accumulators might not fit an int32.
DEGREEQUANT_INLINE bool needs_wide(const Aggregation& a, int64_t row) noexcept {
  const int64_t limit = INT32_MAX / max_distance(a.sum.x.type, 0);
  const int64_t begin = a.sum.csr.indptr[row];
  const int64_t end = a.sum.csr.indptr[row + 1];
  const bool weighted = a.sum.source_coefficient != nullptr || a.sum.edge_coefficient != nullptr;
  if (!weighted) return end - begin > limit;
  if ((end - begin) * 32768 <= limit) return false;  // too few edges for any coefficients: no need to read them
  int64_t sum = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int32_t coefficient = a.sum.coefficient(e, a.sum.csr.indices[e]);
    sum += coefficient < 0 ? -coefficient : coefficient;
  }
  return sum > limit;
}

// Asks for the block of the row that is gathered kPrefetchEdges from now; it may lie across two cache lines.
DEGREEQUANT_INLINE void prefetch(const Aggregation& a, const uint8_t* base, int64_t block_bytes, int64_t edge) noexcept {
  const int64_t ahead = edge + kPrefetchEdges < a.last_edge ? edge + kPrefetchEdges : a.last_edge;
  const uint8_t* p = base + a.sum.csr.indices[ahead] * a.stride;
  __builtin_prefetch(p);
  __builtin_prefetch(p + block_bytes - 1);
}

}  // namespace degreequant
