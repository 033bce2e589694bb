// Edges grouped by destination, in the order of the input.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "array.h"
#include "kernels.h"

namespace degreequant {

enum class SelfLoops : uint8_t {
  keep,     // as they come
  replace,  // PyG's add_remaining_self_loops: all are dropped, then each node gets one, the last edge of its row
};

constexpr int64_t kMaxNodes = INT32_MAX;
constexpr int64_t kMaxEdges = INT32_MAX;  // what the bound of a 64-bit accumulator allows a row (docs/numerics.md)

struct CsrArrays {
  int64_t edges() const noexcept { return indptr.empty() ? 0 : indptr.back(); }

  std::vector<int64_t> indptr;  // nodes + 1
  Array<int32_t> indices;       // source of each edge, then kIndexPadding zeros
  // Position of each edge in the input; for an added loop that of the node's last self loop, or -1; or empty.
  Array<int64_t> edge_ids;
};

// The first edge with a source outside [0, sources) or a destination outside [0, nodes); endpoint 0 is its source, 1 its destination.
struct BadEdge {
  int64_t endpoint;
  int64_t position;
  int64_t value;
};

// Edges as they come: ends of type Index, int32_t or int64_t. Only where there are as many sources as nodes may there be self loops.
template <typename Index>
struct EdgeList {
  const Index* source;
  const Index* destination;
  int64_t edges;
  int64_t nodes;  // rows: destinations
  int64_t sources;
};

struct CsrOptions {
  SelfLoops self_loops;
  bool edge_ids;    // to be filled
  int64_t threads;  // at most; the result is the same for any number
};

template <typename Index>
std::optional<BadEdge> build_csr(const EdgeList<Index>& list, CsrOptions options, CsrArrays& csr);

// One row for each of `graphs` graphs, holding the nodes with that number in `batch`, in order; without edge ids. Returns the first
// position whose number is outside [0, graphs).
template <typename Index>
std::optional<int64_t> build_segments(const Index* batch, int64_t nodes, int64_t graphs, CsrArrays& csr);

}  // namespace degreequant
