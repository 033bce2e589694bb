#include <optional>
#include <utility>

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

}  // namespace degreequant
