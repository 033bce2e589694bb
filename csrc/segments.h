// Steps grouped by what has to be complete before they can begin.
#pragma once

#include <cstdint>
#include <vector>

#include "step.h"

namespace degreequant {

// Edges that lie in the order of the nodes which they arrive at: their rows can be computed together with those of the nodes.
struct Span {
  SpaceId nodes;
  SpaceId edges;
  EdgesId form;
};

// A step, or a tensor, of a segment, and whose rows it counts, or has: the rows of the segment, or their edges in a form.
struct Counted {
  int32_t id;
  EdgesId along;  // or kNone
};

// Steps that run together on one block of rows after the other, those of edges on the edges of these rows.
struct Segment {
  std::vector<Counted> steps;  // in the order of the program
  SpaceId rows;
  std::vector<EdgesId> along;  // the forms along which some of them count
  std::vector<Counted> local;  // written and read by these steps only, at the rows at hand
  int64_t block_rows;          // so many rows at a time, and so many edges; their tensors stay in the cache
  EdgesId edges = kNone;       // to balance by, where a step follows a graph
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

// Spaces that are joined have one number in the outlines, in the tensors and in the spans.
Schedule schedule(const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors, const std::vector<Span>& spans);

}  // namespace degreequant
