#include "csr.h"

#include <cstddef>

namespace degreequant {
namespace {

template <typename Index>
std::optional<BadEdge> find_bad_edge(const Index* source, const Index* destination, int64_t edges, int64_t nodes) {
  const auto outside = [nodes](int64_t node) { return node < 0 || node >= nodes; };
  for (int64_t e = 0; e < edges; ++e) {
    if (outside(source[e])) return BadEdge{0, e, source[e]};
    if (outside(destination[e])) return BadEdge{1, e, destination[e]};
  }
  return std::nullopt;
}

// Where each row's next edge goes: a stable counting sort.
class Cursor {
 public:
  Cursor(CsrArrays& csr, bool edge_ids) : csr_(csr), next_(csr.indptr.begin(), csr.indptr.end() - 1) {
    const size_t edges = static_cast<size_t>(csr.indptr.back());
    csr_.indices.resize(edges + kIndexPadding);
    csr_.edge_ids.resize(edge_ids ? edges : 0);
  }

  void append(int64_t row, int64_t source, int64_t edge_id) {
    const size_t slot = static_cast<size_t>(next_[row]++);
    csr_.indices[slot] = static_cast<int32_t>(source);
    if (!csr_.edge_ids.empty()) csr_.edge_ids[slot] = edge_id;
  }

 private:
  CsrArrays& csr_;
  std::vector<int64_t> next_;
};

}  // namespace

template <typename Index>
std::optional<BadEdge> build_csr(const Index* source, const Index* destination, int64_t edges, int64_t nodes, SelfLoops self_loops,
                                 bool edge_ids, CsrArrays& csr) {
  if (const auto bad = find_bad_edge(source, destination, edges, nodes)) return bad;
  const bool replace = self_loops == SelfLoops::replace;

  csr.indptr.assign(static_cast<size_t>(nodes) + 1, 0);
  for (int64_t e = 0; e < edges; ++e) csr.indptr[destination[e] + 1] += !(replace && source[e] == destination[e]);
  for (int64_t row = 0; row < nodes; ++row) csr.indptr[row + 1] += csr.indptr[row] + replace;

  Cursor cursor(csr, edge_ids);
  std::vector<int64_t> last_loop(replace ? static_cast<size_t>(nodes) : 0, -1);
  for (int64_t e = 0; e < edges; ++e) {
    if (replace && source[e] == destination[e]) {
      last_loop[source[e]] = e;
    } else {
      cursor.append(destination[e], source[e], e);
    }
  }
  for (int64_t row = 0; replace && row < nodes; ++row) cursor.append(row, row, last_loop[row]);
  return std::nullopt;
}

template <typename Index>
std::optional<int64_t> build_segments(const Index* batch, int64_t nodes, int64_t graphs, CsrArrays& csr) {
  csr.indptr.assign(static_cast<size_t>(graphs) + 1, 0);
  for (int64_t node = 0; node < nodes; ++node) {
    if (batch[node] < 0 || batch[node] >= graphs) return node;
    ++csr.indptr[batch[node] + 1];
  }
  for (int64_t graph = 0; graph < graphs; ++graph) csr.indptr[graph + 1] += csr.indptr[graph];

  Cursor cursor(csr, false);
  for (int64_t node = 0; node < nodes; ++node) cursor.append(batch[node], node, node);
  return std::nullopt;
}

template std::optional<BadEdge> build_csr(const int32_t*, const int32_t*, int64_t, int64_t, SelfLoops, bool, CsrArrays&);
template std::optional<BadEdge> build_csr(const int64_t*, const int64_t*, int64_t, int64_t, SelfLoops, bool, CsrArrays&);
template std::optional<int64_t> build_segments(const int32_t*, int64_t, int64_t, CsrArrays&);
template std::optional<int64_t> build_segments(const int64_t*, int64_t, int64_t, CsrArrays&);

}  // namespace degreequant
