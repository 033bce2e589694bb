// A stable counting sort of edges by destination. The edges are cut into chunks, one for each thread: each counts its edges of every row,
// and so knows where each of them goes, behind those of the chunks before it. Hence the order of the input for any number of threads.
//
// The list is the caller's, and read twice: what another thread writes to it in between must lead nowhere outside our memory.
#include "csr.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <stdexcept>

#include "threads.h"

namespace degreequant {
namespace {

constexpr int64_t kEdgesPerChunk = 1 << 16;  // fewer are sorted sooner than a thread wakes
constexpr char kChanged[] = "expected numbers that nobody writes to while they are read";

template <typename Index>
class Sorter {
 public:
  Sorter(const EdgeList<Index>& list, CsrOptions options, CsrArrays& csr)
      : list_(list),
        options_(options),
        csr_(csr),
        // Each chunk has a counter for every row: no more chunks than pay for theirs.
        chunks_(std::clamp<int64_t>(list.edges / std::max(kEdgesPerChunk, list.nodes), 1, options.threads)),
        next_(static_cast<size_t>(chunks_ * list.nodes), 0),
        bad_(static_cast<size_t>(chunks_), list.edges) {}

  std::optional<BadEdge> sort() {
    for_chunks([this](int64_t chunk) { count(chunk); });
    const int64_t bad = *std::min_element(bad_.begin(), bad_.end());
    if (bad < list_.edges) return describe(bad);
    lay_out();
    for_chunks([this](int64_t chunk) { place(chunk); });
    if (changed_.load(std::memory_order_relaxed)) throw std::invalid_argument(kChanged);
    if (replaces()) place_loops();
    return std::nullopt;
  }

 private:
  template <typename Body>
  void for_chunks(const Body& body) {
    if (chunks_ == 1) return body(0);
    ThreadPool::instance().run(chunks_, chunks_, [&](int64_t chunk, int64_t) { body(chunk); });
  }

  bool replaces() const noexcept { return options_.self_loops == SelfLoops::replace; }
  int64_t first_edge(int64_t chunk) const noexcept { return list_.edges / chunks_ * chunk + std::min(chunk, list_.edges % chunks_); }
  int64_t* counters(int64_t chunk) noexcept { return next_.data() + chunk * list_.nodes; }

  static bool is_outside(Index node, int64_t nodes) noexcept {
    return static_cast<uint64_t>(int64_t{node}) >= static_cast<uint64_t>(nodes);
  }

  BadEdge describe(int64_t edge) const noexcept {
    if (is_outside(list_.source[edge], list_.sources)) return {0, edge, list_.source[edge]};
    return {1, edge, list_.destination[edge]};
  }

  // Counts a chunk's edges of every row, and looks for the first that is none.
  void count(int64_t chunk) noexcept {
    int64_t* counts = counters(chunk);
    for (int64_t e = first_edge(chunk); e < first_edge(chunk + 1); ++e) {
      const Index source = list_.source[e];
      const Index destination = list_.destination[e];
      if (is_outside(source, list_.sources) || is_outside(destination, list_.nodes)) {
        bad_[static_cast<size_t>(chunk)] = e;
        return;
      }
      counts[destination] += !(replaces() && source == destination);
    }
  }

  // From counts to where each chunk's next edge of a row goes.
  void lay_out() {
    csr_.indptr.resize(static_cast<size_t>(list_.nodes) + 1);
    int64_t slot = 0;
    for (int64_t row = 0; row < list_.nodes; ++row) {
      csr_.indptr[static_cast<size_t>(row)] = slot;
      for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
        int64_t& counter = counters(chunk)[row];
        const int64_t count = counter;
        counter = slot;
        slot += count;
      }
      slot += replaces();
    }
    csr_.indptr[static_cast<size_t>(list_.nodes)] = slot;
    csr_.indices.allocate(slot + kIndexPadding);
    if (!options_.edge_ids) return;
    csr_.edge_ids.allocate(slot);
    if (replaces()) last_loop_.assign(static_cast<size_t>(list_.nodes), -1);
  }

  void place(int64_t chunk) noexcept {
    int64_t* next = counters(chunk);
    int32_t* indices = csr_.indices.data();
    int64_t* ids = options_.edge_ids ? csr_.edge_ids.data() : nullptr;
    const int64_t slots = csr_.edges();
    for (int64_t e = first_edge(chunk); e < first_edge(chunk + 1); ++e) {
      const Index source = list_.source[e];
      const Index destination = list_.destination[e];
      if (is_outside(source, list_.sources) || is_outside(destination, list_.nodes)) return note_change();
      if (replaces() && source == destination) {
        if (ids != nullptr) note_loop(source, e);
        continue;
      }
      const int64_t slot = next[destination]++;
      if (slot >= slots) return note_change();
      indices[slot] = static_cast<int32_t>(source);
      if (ids != nullptr) ids[slot] = e;
    }
  }

  void note_change() noexcept { changed_.store(true, std::memory_order_relaxed); }

  // Keeps the last of a node's self loops, whichever chunk has it.
  void note_loop(int64_t node, int64_t edge) noexcept {
    const std::atomic_ref last(last_loop_[static_cast<size_t>(node)]);
    int64_t seen = last.load(std::memory_order_relaxed);
    while (seen < edge && !last.compare_exchange_weak(seen, edge, std::memory_order_relaxed)) {
    }
  }

  void place_loops() noexcept {
    for (int64_t row = 0; row < list_.nodes; ++row) {
      const int64_t slot = csr_.indptr[static_cast<size_t>(row) + 1] - 1;
      csr_.indices[slot] = static_cast<int32_t>(row);
      if (options_.edge_ids) csr_.edge_ids[slot] = last_loop_[static_cast<size_t>(row)];
    }
  }

  EdgeList<Index> list_;
  CsrOptions options_;
  CsrArrays& csr_;
  int64_t chunks_;
  std::vector<int64_t> next_;       // of each chunk, for each row
  std::vector<int64_t> bad_;        // first edge of each chunk that is none, or the number of edges
  std::vector<int64_t> last_loop_;  // of each node, where their ids are kept
  std::atomic<bool> changed_ = false;
};

}  // namespace

template <typename Index>
std::optional<BadEdge> build_csr(const EdgeList<Index>& list, CsrOptions options, CsrArrays& csr) {
  return Sorter<Index>(list, options, csr).sort();
}

template <typename Index>
std::optional<int64_t> build_segments(const Index* batch, int64_t nodes, int64_t graphs, CsrArrays& csr) {
  csr.indptr.assign(static_cast<size_t>(graphs) + 1, 0);
  for (int64_t node = 0; node < nodes; ++node) {
    const Index graph = batch[node];
    if (graph < 0 || graph >= graphs) return node;
    ++csr.indptr[static_cast<size_t>(graph) + 1];
  }
  for (size_t graph = 0; graph < static_cast<size_t>(graphs); ++graph) csr.indptr[graph + 1] += csr.indptr[graph];

  csr.indices.allocate(nodes + kIndexPadding);
  std::vector<int64_t> next(csr.indptr.begin(), csr.indptr.end() - 1);
  for (int64_t node = 0; node < nodes; ++node) {
    const Index graph = batch[node];
    if (graph < 0 || graph >= graphs) return node;
    const int64_t slot = next[static_cast<size_t>(graph)]++;
    if (slot >= nodes) throw std::invalid_argument(kChanged);
    csr.indices[slot] = static_cast<int32_t>(node);
  }
  return std::nullopt;
}

template std::optional<BadEdge> build_csr(const EdgeList<int32_t>&, CsrOptions, CsrArrays&);
template std::optional<BadEdge> build_csr(const EdgeList<int64_t>&, CsrOptions, CsrArrays&);
template std::optional<int64_t> build_segments(const int32_t*, int64_t, int64_t, CsrArrays&);
template std::optional<int64_t> build_segments(const int64_t*, int64_t, int64_t, CsrArrays&);

}  // namespace degreequant
