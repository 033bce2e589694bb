// What a plan is made of. A step computes rows of the one tensor that it stores, from tensors of earlier steps and inputs of the call.
//
// To add one: derive from Step in a steps_*.cpp, hold what is known when the program is loaded, and let run() call a kernel on the rows
// [begin, end) of its output. Add a method to the plan's builder (bind_plan_*.cpp) that checks the arguments and says in an Outline what
// the step reads: rows of its own number (`own`), those of the edges of its rows (`spanned`), or any rows (`gathered`).
//
// A tensor that only steps of one segment read, at the rows at hand, never exists as a whole: its data point to where row 0 would lie, and
// only the rows at hand are there. So run() touches nothing but the rows [begin, end) of what it writes and of what it reads as `own`, and
// the edges of these rows of what is `spanned`.
// Rows of codes may lie further apart than their bytes: they are found by Codes::row.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "edges.h"
#include "kernels.h"

namespace degreequant {

using TensorId = int32_t;
using SpaceId = int32_t;  // what the rows of tensors stand for: nodes, edges of a list, graphs of a batch
using EdgesId = int32_t;  // one form of a graph among those of a call
constexpr EdgesId kNone = -1;

// Where a tensor lies in a call.
struct Bound {
  uint8_t* data = nullptr;
  int64_t rows = 0;
  int64_t stride = 0;  // bytes from a row to the next
};

// A tensor of codes, as steps know it before any call.
struct CodesAt {
  TensorId id;
  int64_t cols;
  CodeType type;
  int32_t zero_point;
};

// The first input that a step cannot take: of the earliest such step, the lowest position. The same in every run, if all steps are asked.
class Faults {
 public:
  void report(int32_t step, int64_t position, double value) noexcept {
    const std::lock_guard lock(mutex_);
    if (step > step_ || (step == step_ && position >= position_)) return;
    step_ = step;
    position_ = position;
    value_ = value;
    any_.store(true, std::memory_order_relaxed);
  }
  bool any() const noexcept { return any_.load(std::memory_order_relaxed); }
  int32_t step() const noexcept { return step_; }
  int64_t position() const noexcept { return position_; }
  double value() const noexcept { return value_; }

 private:
  std::mutex mutex_;
  std::atomic<bool> any_ = false;
  int32_t step_ = std::numeric_limits<int32_t>::max();
  int64_t position_ = 0;
  double value_ = 0;
};

// What a step sees of a call.
struct Frame {
  const Bound* tensors;
  const Edges* edges;
  Faults* faults;
  int32_t step;  // the number of the one that runs

  Codes codes(const CodesAt& at) const noexcept {
    return {tensors[at.id].data, tensors[at.id].rows, at.cols, at.type, tensors[at.id].stride};
  }
  MutableCodes mutable_codes(const CodesAt& at) const noexcept {
    return {tensors[at.id].data, tensors[at.id].rows, at.cols, at.type, tensors[at.id].stride};
  }
  template <typename T>
  const T* values(TensorId id) const noexcept {
    return reinterpret_cast<const T*>(tensors[id].data);
  }
  template <typename T>
  T* mutable_values(TensorId id) const noexcept {
    return reinterpret_cast<T*>(tensors[id].data);
  }
  void fault(int64_t position, double value) const noexcept { faults->report(step, position, value); }
};

class Step {
 public:
  Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  virtual ~Step() = default;

  // Computes the rows [begin, end); many threads run it at once, on different rows and in different calls.
  virtual void run(const Frame& frame, int64_t begin, int64_t end) const noexcept = 0;

  // What is wrong with the input that run() reported as a fault.
  virtual std::string explain(int64_t position, double value) const {
    return "got " + std::to_string(value) + " at " + std::to_string(position);
  }
};

// Which rows of a tensor a step reads, or writes.
enum class Reach : uint8_t {
  own,      // those that it counts
  spanned,  // those of the edges of the rows that it counts, which lie together: of Outline::edges, whose edges are in order
  any,
};

struct Read {
  TensorId tensor;
  Reach reach;
};
inline Read own(TensorId tensor) { return {tensor, Reach::own}; }
inline Read spanned(TensorId tensor) { return {tensor, Reach::spanned}; }
inline Read gathered(TensorId tensor) { return {tensor, Reach::any}; }

// What a plan has to know of a step.
struct Outline {
  std::vector<Read> reads;
  TensorId writes;             // or kNone: the step only looks
  SpaceId rows;                // what run() counts
  EdgesId edges = kNone;       // whose rows these are: threads are balanced by its edges
  int64_t row_work = 0;        // what a row costs, roughly in bytes moved
  int64_t edge_work = 0;       // what an edge costs beside
  Reach written = Reach::own;  // not `own` where the tensor that it writes has other rows than it counts
};

}  // namespace degreequant
