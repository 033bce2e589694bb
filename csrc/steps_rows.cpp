#include <utility>

#include "row_kernels.h"
#include "steps.h"

namespace degreequant {
namespace {

class StandardizeStep : public Step {
 public:
  StandardizeStep(CodesAt x, StandardizationRule constants, RequantizeObject rule, CodesAt y)
      : x_(x), constants_(std::move(constants)), rule_(std::move(rule)), y_(y) {}

 protected:
  Standardization of(const Frame& frame) const noexcept {
    const int64_t centres = static_cast<int64_t>(constants_.centre.size());
    return {frame.codes(x_), x_.zero_point, constants_.centre.data(), centres, constants_.inner, constants_.outer, constants_.divisor};
  }

  CodesAt x_;
  StandardizationRule constants_;
  RequantizeObject rule_;
  CodesAt y_;
};

class StandardizeRowsStep final : public StandardizeStep {
 public:
  StandardizeRowsStep(CodesAt x, int64_t groups, StandardizationRule constants, RequantizeObject rule, CodesAt y)
      : StandardizeStep(x, std::move(constants), std::move(rule), y), groups_(groups) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    reference::standardize_rows(of(frame), groups_, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  int64_t groups_;
};

// Counts graphs; what it writes are the rows of their nodes. Without a form all rows, of whatever kind, are one graph.
class StandardizeGraphsStep final : public StandardizeStep {
 public:
  StandardizeGraphsStep(CodesAt x, EdgesId graphs, bool each_channel, StandardizationRule constants, RequantizeObject rule, CodesAt y)
      : StandardizeStep(x, std::move(constants), std::move(rule), y), graphs_(graphs), each_channel_(each_channel) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const int64_t all[] = {0, frame.tensors[x_.id].rows};
    const Csr csr = graphs_ == kNone ? Csr{all, nullptr, 1, all[1]} : frame.edges[graphs_].csr;
    reference::standardize_graphs(of(frame), csr, each_channel_, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  EdgesId graphs_;
  bool each_channel_;
};

class ContractStep final : public Step {
 public:
  ContractStep(CodesAt a, CodesAt b, MatrixSizes sizes, RequantizeObject rule, CodesAt y)
      : a_(a), b_(b), sizes_(sizes), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Contraction contraction = {frame.codes(a_), frame.codes(b_), a_.zero_point, b_.zero_point,
                                     sizes_.groups,   sizes_.rows,     sizes_.inner,  sizes_.cols};
    reference::contract(contraction, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  CodesAt a_;
  CodesAt b_;
  MatrixSizes sizes_;
  RequantizeObject rule_;
  CodesAt y_;
};

class RowSoftmaxStep final : public Step {
 public:
  RowSoftmaxStep(CodesAt logits, int64_t groups, std::vector<int16_t> table, RequantizeObject rule, CodesAt y)
      : logits_(logits), groups_(groups), table_(std::move(table)), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const RowSoftmax softmax = {frame.codes(logits_), groups_, table_.data()};
    reference::row_softmax(softmax, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  CodesAt logits_;
  int64_t groups_;
  std::vector<int16_t> table_;
  RequantizeObject rule_;
  CodesAt y_;
};

class LargestStep final : public Step {
 public:
  LargestStep(CodesAt x, int64_t outer, int64_t size, CodesAt y) : x_(x), outer_(outer), size_(size), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Largest largest = {frame.codes(x_), outer_, size_, y_.cols / outer_};
    reference::largest(largest, frame.mutable_codes(y_), begin, end);
  }

 private:
  CodesAt x_;
  int64_t outer_;
  int64_t size_;
  CodesAt y_;
};

}  // namespace

StepPtr standardize_rows_step(CodesAt x, int64_t groups, StandardizationRule constants, RequantizeObject rule, CodesAt y) {
  return std::make_unique<StandardizeRowsStep>(x, groups, std::move(constants), std::move(rule), y);
}

StepPtr standardize_graphs_step(CodesAt x, EdgesId graphs, bool each_channel, StandardizationRule constants, RequantizeObject rule,
                                CodesAt y) {
  return std::make_unique<StandardizeGraphsStep>(x, graphs, each_channel, std::move(constants), std::move(rule), y);
}

StepPtr contract_step(CodesAt a, CodesAt b, MatrixSizes sizes, RequantizeObject rule, CodesAt y) {
  return std::make_unique<ContractStep>(a, b, sizes, std::move(rule), y);
}

StepPtr row_softmax_step(CodesAt logits, int64_t groups, std::vector<int16_t> table, RequantizeObject rule, CodesAt y) {
  return std::make_unique<RowSoftmaxStep>(logits, groups, std::move(table), std::move(rule), y);
}

StepPtr largest_step(CodesAt x, int64_t outer, int64_t size, CodesAt y) { return std::make_unique<LargestStep>(x, outer, size, y); }

}  // namespace degreequant
