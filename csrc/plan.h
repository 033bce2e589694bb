// A program made ready to run: steps in segments, run block of rows by block of rows.
//
// Consecutive steps that need only their own rows form a segment: what one of them stores for the next lives in a few rows of scratch that
// stay in the cache. A step that gathers rows needs the whole of them, so it begins a later segment; one that collects edges which lie in
// the order of its rows does not: nodes and the edges that arrive at them are computed together. Threads share the rows of a segment, one
// segment after the other. How to add a step is in step.h.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "memory.h"
#include "segments.h"
#include "step.h"

namespace degreequant {

// One run: where the inputs lie and the results go, and the forms of the graphs. Made by Plan::start.
struct Call {
  std::vector<Bound> tensors;  // of each tensor; data null where the plan has to find room
  std::vector<int64_t> rows;   // of each space
  std::vector<Edges> edges;
};

// Rows of a segment, with room for so many rows and for so many edges in its local tensors.
struct Tile {
  int64_t begin;
  int64_t end;
  int64_t row_room;
  int64_t edge_room;

  int64_t of(EdgesId along) const noexcept { return along == kNone ? row_room : edge_room; }
};

class Plan {
 public:
  explicit Plan(int64_t threads) : threads_(threads) {}

  // -- while the program is loaded

  SpaceId add_space();
  SpaceId add_single();  // of one row
  // The two have equally many rows in every call.
  void join(SpaceId a, SpaceId b);
  TensorId add_input(SpaceId space) { return add({space, 0, 0, true, false}); }
  // With `apart` its rows may lie further apart than their bytes, as all steps that touch it then have to allow (Bound::stride).
  TensorId add_tensor(SpaceId space, int64_t row_bytes, bool apart) { return add({space, row_bytes, row_bytes, false, apart}); }
  // A form of a graph whose csr has the rows and sources of these spaces; with `in_order` the sources are edges in the order of the rows.
  EdgesId add_edges(SpaceId rows, SpaceId sources, bool in_order);
  void add_step(std::unique_ptr<Step> step, Outline outline);
  // No more steps; `output` is what a run is for.
  void finish(TensorId output);

  SpaceId space_of(TensorId tensor) const { return tensors_[tensor].space; }
  SpaceId rows_of(EdgesId edges) const { return edges_[edges].rows; }
  SpaceId sources_of(EdgesId edges) const { return edges_[edges].sources; }
  SpaceId ordered_of(EdgesId edges) const { return edges_[edges].ordered; }  // its edges, in the order of the csr
  SpaceId listed_of(EdgesId edges) const { return edges_[edges].listed; }    // the edges of the caller's list
  bool in_order(EdgesId edges) const { return edges_[edges].in_order; }
  bool is_input(TensorId tensor) const { return tensors_[tensor].input; }
  TensorId output() const { return output_; }
  size_t edges_count() const { return edges_.size(); }

  // -- a call, from any number of threads at once

  // A call on these inputs (bound, in the order in which they were added) and forms: the rows of all tensors. Throws std::invalid_argument
  // where rows that must be equal are not.
  Call start(const std::vector<Bound>& inputs, std::vector<Edges> edges) const;
  // Computes what `call` binds beside the inputs: the output at least. Throws std::invalid_argument for an input that a step cannot take.
  void run(Call& call) const;

 private:
  struct Tensor {
    SpaceId space;
    int64_t row_bytes;
    int64_t stride;  // from a row to the next, where the plan finds room for it
    bool input;
    bool apart;
  };
  struct EdgesSpaces {
    SpaceId rows;
    SpaceId sources;
    SpaceId ordered;
    SpaceId listed;
    bool in_order;
  };
  // Memory of one call.
  struct Workspace {
    Buffer tensors;
    Buffer scratch;
  };

  TensorId add(Tensor tensor);
  void spread_rows();
  SpaceId root(SpaceId space) const;
  void place(Call& call, Buffer& buffer) const;
  void run_segment(const Segment& segment, const Call& call, Workspace& workspace, Faults& faults) const;
  std::vector<Span> spans() const;
  void place_locals(const Segment& segment, const Call& call, const Tile& tile, uint8_t* table) const noexcept;
  std::unique_ptr<Workspace> take_workspace() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  int64_t threads_;
  TensorId output_ = kNone;
  std::vector<SpaceId> parents_;  // of each space: itself, or one that has as many rows
  std::vector<SpaceId> single_;   // that have one row
  std::vector<Tensor> tensors_;
  std::vector<EdgesSpaces> edges_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Outline> outlines_;
  std::vector<Segment> segments_;
  std::vector<Lifetime> lifetimes_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;  // that no call uses
};

}  // namespace degreequant
