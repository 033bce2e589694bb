#include "plan.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "parallel.h"

namespace degreequant {
namespace {

constexpr int64_t kSmallBytes = int64_t{1} << 26;  // of the workspaces that are larger, one stays for the next call

void set_rows(int64_t& rows, int64_t count) {
  if (rows >= 0 && rows != count) {
    throw std::invalid_argument("expected as many rows in all tensors that meet, got " + std::to_string(rows) + " and " +
                                std::to_string(count));
  }
  rows = count;
}

}  // namespace

SpaceId Plan::add_space() {
  parents_.push_back(static_cast<SpaceId>(parents_.size()));
  return parents_.back();
}

SpaceId Plan::add_single() {
  single_.push_back(add_space());
  return single_.back();
}

SpaceId Plan::root(SpaceId space) const {
  while (parents_[space] != space) space = parents_[space];
  return space;
}

void Plan::join(SpaceId a, SpaceId b) { parents_[root(b)] = root(a); }

TensorId Plan::add(Tensor tensor) {
  tensors_.push_back(tensor);
  return static_cast<TensorId>(tensors_.size() - 1);
}

EdgesId Plan::add_edges(SpaceId rows, SpaceId sources, bool in_order) {
  const SpaceId ordered = add_space();
  edges_.push_back({rows, sources, ordered, add_space(), in_order});
  return static_cast<EdgesId>(edges_.size() - 1);
}

void Plan::add_step(std::unique_ptr<Step> step, Outline outline) {
  for (const Read& read : outline.reads) {
    if (read.reach == Reach::own) join(outline.rows, space_of(read.tensor));
  }
  steps_.push_back(std::move(step));
  outlines_.push_back(std::move(outline));
}

// Gives the rows of tensors that are gathered strides with which they touch the fewest cache lines, and those that are collected while
// others are still computed strides of whole vectors: kernels read them as such, and the row behind may be another thread's.
void Plan::spread_rows() {
  for (const Outline& outline : outlines_) {
    for (const Read& read : outline.reads) {
      Tensor& tensor = tensors_[read.tensor];
      if (!tensor.apart || read.reach == Reach::own) continue;
      const int64_t wanted = read.reach == Reach::any ? gathered_stride(tensor.row_bytes) : whole_vectors(tensor.row_bytes);
      tensor.stride = std::max(tensor.stride, wanted);
    }
  }
}

void Plan::finish(TensorId output) {
  output_ = output;
  spread_rows();
  std::vector<TensorFacts> facts;
  for (const Tensor& tensor : tensors_) facts.push_back({root(tensor.space), tensor.stride, false});
  facts[output].kept = true;
  for (Outline& outline : outlines_) {
    outline.rows = root(outline.rows);
    const bool others = outline.writes != kNone && outline.rows != facts[outline.writes].space;
    if (others && outline.written == Reach::own) outline.written = Reach::any;
  }
  Schedule result = schedule(outlines_, facts, spans());
  segments_ = std::move(result.segments);
  lifetimes_ = std::move(result.lifetimes);
}

std::vector<Span> Plan::spans() const {
  std::vector<Span> result;
  for (size_t e = 0; e < edges_.size(); ++e) {
    if (edges_[e].in_order) result.push_back({root(edges_[e].rows), root(edges_[e].sources), static_cast<EdgesId>(e)});
  }
  return result;
}

Call Plan::start(const std::vector<Bound>& inputs, std::vector<Edges> edges) const {
  Call call{std::vector<Bound>(tensors_.size()), std::vector<int64_t>(parents_.size(), -1), std::move(edges)};
  const auto count = [&](SpaceId space, int64_t rows) { set_rows(call.rows[root(space)], rows); };
  for (const SpaceId space : single_) count(space, 1);
  size_t next = 0;
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (!tensors_[t].input) continue;
    call.tensors[t] = inputs[next++];
    count(tensors_[t].space, call.tensors[t].rows);
  }
  for (size_t e = 0; e < edges_.size(); ++e) {
    const Edges& form = call.edges[e];
    if (edges_[e].in_order && !form.in_order) throw std::invalid_argument("expected edges in the order of the rows that they arrive at");
    count(edges_[e].rows, form.csr.rows);
    count(edges_[e].sources, form.csr.sources);
    count(edges_[e].ordered, form.count);
    if (form.ids != nullptr) count(edges_[e].listed, form.listed);
  }
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (!tensors_[t].input) call.tensors[t] = {nullptr, call.rows[root(tensors_[t].space)], tensors_[t].stride};
  }
  return call;
}

void Plan::run(Call& call) const {
  std::unique_ptr<Workspace> workspace = take_workspace();
  place(call, workspace->tensors);
  Faults faults;
  for (const Segment& segment : segments_) {
    run_segment(segment, call, *workspace, faults);
    if (faults.any()) break;
  }
  give_back(std::move(workspace));
  if (faults.any()) throw std::invalid_argument(steps_[faults.step()]->explain(faults.position(), faults.value()));
}

// Gives every tensor that must exist as a whole its place.
void Plan::place(Call& call, Buffer& buffer) const {
  std::vector<TensorId> wanted;
  std::vector<Interval> intervals;
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (call.tensors[t].data != nullptr || tensors_[t].input || lifetimes_[t].local) continue;
    wanted.push_back(static_cast<TensorId>(t));
    intervals.push_back({call.tensors[t].rows * tensors_[t].stride, lifetimes_[t].first, lifetimes_[t].last});
  }
  const Layout layout = lay_out(intervals);
  uint8_t* data = buffer.reserve(layout.bytes);
  for (size_t i = 0; i < wanted.size(); ++i) call.tensors[wanted[i]].data = data + layout.offsets[i];
}

namespace {

// The first edge, in a form, of a row.
int64_t first_edge(const Call& call, EdgesId form, int64_t row) { return call.edges[form].csr.indptr[row]; }

// How many edges a segment has at most at a row, in any of the forms along which it computes.
int64_t most_edges(const Segment& segment, const Call& call) {
  int64_t most = 0;
  for (const EdgesId form : segment.along) {
    const int64_t* indptr = call.edges[form].csr.indptr;
    for (int64_t row = 0; row < call.rows[segment.rows]; ++row) most = std::max(most, indptr[row + 1] - indptr[row]);
  }
  return most;
}

// Where the tile ends that begins at `row`: its rows and its edges fit their room.
int64_t tile_end(const Segment& segment, const Call& call, const Tile& room, int64_t row, int64_t end) {
  int64_t stop = std::min(end, row + room.row_room);
  for (const EdgesId form : segment.along) {
    const int64_t* indptr = call.edges[form].csr.indptr;
    stop = std::upper_bound(indptr + row + 1, indptr + stop + 1, indptr[row] + room.edge_room) - indptr - 1;
  }
  return stop;
}

}  // namespace

void Plan::run_segment(const Segment& segment, const Call& call, Workspace& workspace, Faults& faults) const {
  const int64_t rows = call.rows[segment.rows];
  const bool by_edges = segment.edges != kNone;
  const int64_t edges = by_edges ? call.edges[segment.edges].count : 0;
  const Work work = {rows, rows * segment.row_work + edges * segment.edge_work, by_edges ? call.edges[segment.edges].csr.indptr : nullptr};
  const Tile room = {0, 0, std::min(rows, segment.block_rows), std::max(segment.block_rows, most_edges(segment, call))};

  // Each worker has a table of its own of where the tensors lie, and behind it the rows at hand of the local ones.
  const int64_t table_bytes = static_cast<int64_t>(call.tensors.size() * sizeof(Bound));
  int64_t bytes = aligned(table_bytes) + kAlignment;  // a vector may reach beyond the last row
  for (const Counted& tensor : segment.local) bytes += aligned(room.of(tensor.along) * tensors_[tensor.id].stride);
  uint8_t* scratch = workspace.scratch.reserve(bytes * std::min(threads_, block_count(work, threads_)));

  run_workers(work, threads_, [&](int64_t begin, int64_t end, int64_t worker) noexcept {
    uint8_t* table = scratch + worker * bytes;
    std::memcpy(table, call.tensors.data(), static_cast<size_t>(table_bytes));
    Frame frame = {reinterpret_cast<Bound*>(table), call.edges.data(), &faults, 0};
    for (Tile tile = room; begin < end; begin = tile.end) {
      tile.begin = begin;
      tile.end = tile_end(segment, call, room, begin, end);
      place_locals(segment, call, tile, table);
      for (const Counted& step : segment.steps) {
        frame.step = step.id;
        const bool of_rows = step.along == kNone;
        steps_[step.id]->run(frame, of_rows ? tile.begin : first_edge(call, step.along, tile.begin),
                             of_rows ? tile.end : first_edge(call, step.along, tile.end));
      }
    }
  });
}

// Makes the local tensors of a worker begin at the rows of the tile: row 0 would lie before its memory.
void Plan::place_locals(const Segment& segment, const Call& call, const Tile& tile, uint8_t* table) const noexcept {
  Bound* tensors = reinterpret_cast<Bound*>(table);
  auto place = reinterpret_cast<uintptr_t>(table) + aligned(static_cast<int64_t>(call.tensors.size() * sizeof(Bound)));
  for (const Counted& tensor : segment.local) {
    if (call.tensors[tensor.id].data != nullptr) continue;  // the caller wants it
    const int64_t stride = tensors_[tensor.id].stride;
    const int64_t first = tensor.along == kNone ? tile.begin : first_edge(call, tensor.along, tile.begin);
    tensors[tensor.id].data = reinterpret_cast<uint8_t*>(place - static_cast<uintptr_t>(first * stride));
    place += aligned(tile.of(tensor.along) * stride);
  }
}

std::unique_ptr<Plan::Workspace> Plan::take_workspace() const {
  const std::lock_guard lock(mutex_);
  if (workspaces_.empty()) return std::make_unique<Workspace>();
  std::unique_ptr<Workspace> workspace = std::move(workspaces_.back());
  workspaces_.pop_back();
  return workspace;
}

void Plan::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(mutex_);
  const bool large = workspace->tensors.capacity() + workspace->scratch.capacity() > kSmallBytes;
  if (!large || workspaces_.empty()) workspaces_.push_back(std::move(workspace));
}

}  // namespace degreequant
