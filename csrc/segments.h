// Steps grouped by what has to be complete before they can begin.
#pragma once

#include <cstdint>
#include <vector>

#include "step.h"

namespace degreequant {

// Steps that run together on one block of rows after the other.
struct Segment {
  std::vector<int32_t> steps;  // in the order of the program
  SpaceId rows;
  std::vector<TensorId> local;  // written and read by these steps only, row by row
  int64_t block_rows;           // so many rows at a time; their tensors stay in the cache
  EdgesId edges = kNone;        // to balance by, where a step follows a graph
  int64_t row_work = 0;
  int64_t edge_work = 0;
};

// The segments in which a tensor is needed, from the one that writes it on.
struct Lifetime {
  int32_t first = kNone;  // kNone: no step writes it
  int32_t last = kNone;
  bool local = false;
};

// What the grouping has to know of a tensor.
struct TensorFacts {
  SpaceId space;
  int64_t row_bytes;
  bool kept;  // read outside: never local, needed to the end
};

struct Schedule {
  std::vector<Segment> segments;
  std::vector<Lifetime> lifetimes;  // of each tensor
};

// Spaces that are joined have one number in the outlines and in the tensors.
Schedule schedule(const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors);

}  // namespace degreequant
