#include <cstring>
#include <optional>
#include <utility>

#include "from_real.h"
#include "steps.h"

namespace degreequant {
namespace {

class AggregateStep final : public Step {
 public:
  AggregateStep(const Kernels& kernels, CodesAt x, EdgesId edges, SelfTerm self, RequantizeObject rule, CodesAt y)
      : kernels_(kernels), x_(x), edges_(edges), self_(self), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Edges& edges = frame.edges[edges_];
    const NeighbourSum sum = {frame.codes(x_), edges.csr, x_.zero_point, edges.coefficient, self_.coefficient, self_.edge_shift};
    kernels_.aggregate(sum, rule_.view(edges.row), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt x_;
  EdgesId edges_;
  SelfTerm self_;
  RequantizeObject rule_;
  CodesAt y_;
};

class MaximumStep final : public Step {
 public:
  MaximumStep(const Kernels& kernels, CodesAt x, EdgesId edges, CodesAt y) : kernels_(kernels), x_(x), edges_(edges), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.maximum(frame.codes(x_), frame.edges[edges_].csr, x_.zero_point, frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt x_;
  EdgesId edges_;
  CodesAt y_;
};

class AttendStep final : public Step {
 public:
  AttendStep(const Kernels& kernels, CodesAt x, CodesAt logits, std::optional<CodesAt> edge_logits, EdgesId edges, AttentionRule attention,
             RequantizeObject rule, CodesAt y)
      : kernels_(kernels),
        x_(x),
        logits_(logits),
        edge_logits_(edge_logits),
        edges_(edges),
        attention_(std::move(attention)),
        rule_(std::move(rule)),
        y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Attention attention = {
        frame.codes(x_),  frame.edges[edges_].csr, frame.codes(logits_),    edge_logits_ ? frame.codes(*edge_logits_) : Codes{},
        attention_.heads, attention_.slope,        attention_.table.data(), attention_.average};
    kernels_.attend(attention, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt x_;
  CodesAt logits_;
  std::optional<CodesAt> edge_logits_;
  EdgesId edges_;
  AttentionRule attention_;
  RequantizeObject rule_;
  CodesAt y_;
};

constexpr Multiplier kOne = from_real(1.0);

// Counts rows of the graph; what it writes are the edges of these rows.
class OrderStep final : public Step {
 public:
  OrderStep(CodesAt logits, EdgesId edges, LoopLogits loops, std::vector<int8_t> constant, CodesAt y)
      : logits_(logits), edges_(edges), loops_(loops), constant_(std::move(constant)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Edges& edges = frame.edges[edges_];
    const Codes from = frame.codes(logits_);
    const MutableCodes to = frame.mutable_codes(y_);
    const size_t bytes = static_cast<size_t>(y_.cols);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = edges.csr.indptr[row];
      const int64_t listed_end = edges.csr.indptr[row + 1] - (loops_ != LoopLogits::kept);
      for (int64_t e = first; e < listed_end; ++e) std::memcpy(to.row(e), from.row(edges.ids[e]), bytes);
      if (loops_ == LoopLogits::constant) std::memcpy(to.row(listed_end), constant_.data(), bytes);
      if (loops_ == LoopLogits::mean) write_mean(to, first, listed_end);
    }
  }

 private:
  // The rounded mean of the rows [first, end), in the row behind them (docs/numerics.md, "attend").
  static void write_mean(MutableCodes logits, int64_t first, int64_t end) noexcept {
    const Multiplier each = bounded(combine(from_real(first == end ? 0.0 : 1.0 / static_cast<double>(end - first)), kOne));
    for (int64_t h = 0; h < logits.cols; ++h) {
      int64_t sum = 0;
      for (int64_t e = first; e < end; ++e) sum += static_cast<int8_t>(logits.row(e)[h]);
      logits.row(end)[h] = static_cast<uint8_t>(requantize_any(sum, each, 0, {0, -128, 127}));
    }
  }

  CodesAt logits_;
  EdgesId edges_;
  LoopLogits loops_;
  std::vector<int8_t> constant_;
  CodesAt y_;
};

}  // namespace

StepPtr aggregate_step(const Kernels& kernels, CodesAt x, EdgesId edges, SelfTerm self, RequantizeObject rule, CodesAt y) {
  return std::make_unique<AggregateStep>(kernels, x, edges, self, std::move(rule), y);
}

StepPtr maximum_step(const Kernels& kernels, CodesAt x, EdgesId edges, CodesAt y) {
  return std::make_unique<MaximumStep>(kernels, x, edges, y);
}

StepPtr attend_step(const Kernels& kernels, CodesAt x, CodesAt logits, std::optional<CodesAt> edge_logits, EdgesId edges,
                    AttentionRule attention, RequantizeObject rule, CodesAt y) {
  return std::make_unique<AttendStep>(kernels, x, logits, edge_logits, edges, std::move(attention), std::move(rule), y);
}

StepPtr order_step(CodesAt logits, EdgesId edges, LoopLogits loops, std::vector<int8_t> constant, CodesAt y) {
  return std::make_unique<OrderStep>(logits, edges, loops, std::move(constant), y);
}

}  // namespace degreequant
