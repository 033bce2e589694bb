// A graph as a step reads it: edges by destination, and what each of them, each source and each row is multiplied by.
#pragma once

#include "kernels.h"

namespace degreequant {

struct Edges {
  Csr csr = {nullptr, nullptr, 0, 0};
  int64_t count = 0;                        // of the edges in csr
  const int16_t* coefficient = nullptr;     // of each edge, or null
  Multipliers row = {nullptr, nullptr, 0};  // of each row, or absent
  const int64_t* ids = nullptr;             // position of each edge in the caller's list, or null; of an added self loop maybe -1
  int64_t listed = 0;                       // edges in the caller's list; all ids are below
  bool in_order = false;                    // the source of each edge is its own number: those of a row lie together
  const float* source_factor = nullptr;     // what a float step multiplies by, each of them maybe null
  const float* edge_factor = nullptr;
  const float* row_factor = nullptr;
};

}  // namespace degreequant
