#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "reference_codes.h"
#include "steps.h"

namespace degreequant {
namespace {

constexpr int64_t kRowsAhead = 24;  // edges ahead of which a gathered row is asked for
static_assert(kRowsAhead < kIndexPadding);

// Rows of `bytes` bytes, which may be a constant.
template <typename Bytes>
void copy_rows(Codes from, const int32_t* nodes, MutableCodes to, Bytes bytes, int64_t begin, int64_t end) noexcept {
  for (int64_t e = begin; e < end; ++e) {
    const uint8_t* ahead = from.row(nodes[e + kRowsAhead]);
    __builtin_prefetch(ahead);
    __builtin_prefetch(ahead + bytes - 1);
    std::memcpy(to.row(e), from.row(nodes[e]), static_cast<size_t>(bytes));
  }
}

// Rows of the form are the edges; each has one source, the node whose row it gets.
class GatherStep final : public Step {
 public:
  GatherStep(CodesAt x, EdgesId edges, CodesAt y) : x_(x), edges_(edges), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const int32_t* nodes = frame.edges[edges_].csr.indices;
    const Codes from = frame.codes(x_);
    const MutableCodes to = frame.mutable_codes(y_);
    const int64_t bytes = row_bytes(x_.type, x_.cols);
    switch (bytes) {  // of the usual widths, without a call for each row
      case 16:
        return copy_rows(from, nodes, to, std::integral_constant<int64_t, 16>(), begin, end);
      case 32:
        return copy_rows(from, nodes, to, std::integral_constant<int64_t, 32>(), begin, end);
      case 64:
        return copy_rows(from, nodes, to, std::integral_constant<int64_t, 64>(), begin, end);
      case 128:
        return copy_rows(from, nodes, to, std::integral_constant<int64_t, 128>(), begin, end);
      default:
        return copy_rows(from, nodes, to, bytes, begin, end);
    }
  }

 private:
  CodesAt x_;
  EdgesId edges_;
  CodesAt y_;
};

class MultiplyStep final : public Step {
 public:
  MultiplyStep(const Kernels& kernels, CodesAt a, CodesAt b, int64_t repeat, RequantizeObject rule, CodesAt y)
      : kernels_(kernels), a_(a), b_(b), repeat_(repeat), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Product product = {frame.codes(a_), frame.codes(b_), a_.zero_point, b_.zero_point, repeat_};
    kernels_.multiply(product, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt a_;
  CodesAt b_;
  int64_t repeat_;
  RequantizeObject rule_;
  CodesAt y_;
};

// Counts nodes; what it writes are the edges of these nodes, wherever they lie in the list.
class SoftmaxStep final : public Step {
 public:
  SoftmaxStep(const Kernels& kernels, CodesAt logits, EdgesId edges, std::vector<int16_t> table, RequantizeObject rule, CodesAt y)
      : kernels_(kernels), logits_(logits), edges_(edges), table_(std::move(table)), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const EdgeSoftmax softmax = {frame.codes(logits_), frame.edges[edges_].csr, table_.data()};
    kernels_.edge_softmax(softmax, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt logits_;
  EdgesId edges_;
  std::vector<int16_t> table_;
  RequantizeObject rule_;
  CodesAt y_;
};

class DegreeStep final : public Step {
 public:
  DegreeStep(EdgesId edges, std::vector<int32_t> table, CodesAt y) : edges_(edges), table_(std::move(table)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const int64_t* indptr = frame.edges[edges_].csr.indptr;
    const int64_t last = static_cast<int64_t>(table_.size()) - 1;
    const MutableCodes to = frame.mutable_codes(y_);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t count = std::min(indptr[row + 1] - indptr[row], last);
      reference::store_code(y_.type, to.row(row), 0, table_[static_cast<size_t>(count)]);
    }
  }

 private:
  EdgesId edges_;
  std::vector<int32_t> table_;
  CodesAt y_;
};

}  // namespace

StepPtr gather_step(CodesAt x, EdgesId edges, CodesAt y) { return std::make_unique<GatherStep>(x, edges, y); }

StepPtr multiply_step(const Kernels& kernels, CodesAt a, CodesAt b, int64_t repeat, RequantizeObject rule, CodesAt y) {
  return std::make_unique<MultiplyStep>(kernels, a, b, repeat, std::move(rule), y);
}

StepPtr degree_step(EdgesId edges, std::vector<int32_t> table, CodesAt y) {
  return std::make_unique<DegreeStep>(edges, std::move(table), y);
}

StepPtr softmax_step(const Kernels& kernels, CodesAt logits, EdgesId edges, std::vector<int16_t> table, RequantizeObject rule, CodesAt y) {
  return std::make_unique<SoftmaxStep>(kernels, logits, edges, std::move(table), std::move(rule), y);
}

}  // namespace degreequant
