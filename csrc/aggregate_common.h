// What the vectorised neighbour sums share, whatever the instruction set.
#pragma once

#include "kernels.h"

namespace degreequant {

constexpr int64_t kPrefetchEdges = 12;  // how far ahead a gathered row is asked for

struct Aggregation {
  Codes x;
  Csr csr;
  const int16_t* source_coefficient;
  const int16_t* edge_coefficient;
  Requantize rule;
  MutableCodes out;
  int64_t stride;      // of x, in bytes
  int64_t out_stride;  // in bytes
  int64_t last_edge;   // of the rows to be computed: none is asked for beyond it

  DEGREEQUANT_INLINE int32_t coefficient(int64_t edge, int64_t source) const noexcept {
    return source_coefficient != nullptr ? source_coefficient[source] : edge_coefficient != nullptr ? edge_coefficient[edge] : 1;
  }

  DEGREEQUANT_INLINE void reference_row(int64_t row) const noexcept {
    reference_kernels.aggregate(x, csr, source_coefficient, edge_coefficient, rule, out, row, row + 1);
  }
};

DEGREEQUANT_INLINE Aggregation make_aggregation(Codes x, const Csr& csr, const int16_t* source_coefficient, const int16_t* edge_coefficient,
                                                const Requantize& rule, MutableCodes out, int64_t end) noexcept {
  return {x,
          csr,
          source_coefficient,
          edge_coefficient,
          rule,
          out,
          row_bytes(x.type, x.cols),
          row_bytes(out.type, out.cols),
          csr.indptr[end] - 1};
}

// Whether sum |coefficient| * max|x| reaches 2^31, so that the row's accumulators might not fit an int32.
DEGREEQUANT_INLINE bool needs_wide(const Aggregation& a, int64_t row) noexcept {
  const int64_t limit = INT32_MAX / max_magnitude(a.x.type);
  const int64_t begin = a.csr.indptr[row];
  const int64_t end = a.csr.indptr[row + 1];
  const bool weighted = a.source_coefficient != nullptr || a.edge_coefficient != nullptr;
  if (!weighted) return end - begin > limit;
  if ((end - begin) * 32768 <= limit) return false;  // too few edges for any coefficients: no need to read them
  int64_t sum = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int32_t coefficient = a.coefficient(e, a.csr.indices[e]);
    sum += coefficient < 0 ? -coefficient : coefficient;
  }
  return sum > limit;
}

// Asks for the block of the row that is gathered kPrefetchEdges from now; it may lie across two cache lines.
DEGREEQUANT_INLINE void prefetch(const Aggregation& a, const uint8_t* base, int64_t block_bytes, int64_t edge) noexcept {
  const int64_t ahead = edge + kPrefetchEdges < a.last_edge ? edge + kPrefetchEdges : a.last_edge;
  const uint8_t* p = base + a.csr.indices[ahead] * a.stride;
  __builtin_prefetch(p);
  __builtin_prefetch(p + block_bytes - 1);
}

}  // namespace degreequant
