// What the Python classes hold: checked when they are made, never changed after.
#pragma once

#include <cstdint>
#include <vector>

#include "csr.h"
#include "kernels.h"
#include "rule.h"

namespace degreequant {

// Its indices are in range, so the kernels may follow them.
struct CsrObject {
  CsrArrays arrays;
  int64_t rows;
  int64_t sources;
  bool has_edge_ids;
  bool in_order = false;  // the only source of each edge is its own number

  Csr view() const noexcept { return {arrays.indptr.data(), arrays.indices.data(), rows, sources}; }
  int64_t edges() const noexcept { return arrays.edges(); }
};

using RequantizeObject = Rule;

}  // namespace degreequant
