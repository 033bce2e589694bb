// Logits of the caller's edges, brought into the order of the edges by destination; codes and floats alike.
#include <cstring>
#include <utility>

#include "from_real.h"
#include "steps.h"

namespace degreequant {
namespace {

constexpr Multiplier kOne = from_real(1.0);

// The mean of `count` logits whose sum is known (docs/numerics.md, "attend").
int8_t mean_of(int64_t sum, int64_t count) noexcept {
  const Multiplier each =
      bounded(combine(from_real(count == 0 ? 0.0 : 1.0 / static_cast<double>(count)), kOne), shift_limits({0, -128, 127}, 0));
  return static_cast<int8_t>(requantize_any(sum, each, 0, {0, -128, 127}));
}
float mean_of(float sum, int64_t count) noexcept { return count == 0 ? 0.0F : sum / static_cast<float>(count); }

// Counts rows of the graph; what it writes are the edges of these rows. `Sum` is what logits are summed in.
template <typename Logit, typename Sum>
class OrderStep final : public Step {
 public:
  OrderStep(TensorId logits, int64_t heads, EdgesId edges, LoopLogits loops, std::vector<Logit> constant, TensorId y)
      : logits_(logits), heads_(heads), edges_(edges), loops_(loops), constant_(std::move(constant)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Edges& edges = frame.edges[edges_];
    const Bound& from = frame.tensors[logits_];
    const Bound& to = frame.tensors[y_];
    const size_t bytes = static_cast<size_t>(heads_) * sizeof(Logit);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = edges.csr.indptr[row];
      const int64_t listed_end = edges.csr.indptr[row + 1] - (loops_ != LoopLogits::kept);
      for (int64_t e = first; e < listed_end; ++e) std::memcpy(row_of(to, e), row_of(from, edges.ids[e]), bytes);
      if (loops_ == LoopLogits::constant) std::memcpy(row_of(to, listed_end), constant_.data(), bytes);
      if (loops_ == LoopLogits::mean) write_mean(to, first, listed_end);
    }
  }

 private:
  static Logit* row_of(const Bound& tensor, int64_t row) noexcept { return reinterpret_cast<Logit*>(tensor.data + row * tensor.stride); }

  // The mean of the rows [first, end), in the row behind them.
  void write_mean(const Bound& logits, int64_t first, int64_t end) const noexcept {
    for (int64_t h = 0; h < heads_; ++h) {
      Sum sum = 0;
      for (int64_t e = first; e < end; ++e) sum += row_of(logits, e)[h];
      row_of(logits, end)[h] = mean_of(sum, end - first);
    }
  }

  TensorId logits_;
  int64_t heads_;
  EdgesId edges_;
  LoopLogits loops_;
  std::vector<Logit> constant_;
  TensorId y_;
};

}  // namespace

StepPtr order_step(CodesAt logits, EdgesId edges, LoopLogits loops, std::vector<int8_t> constant, CodesAt y) {
  return std::make_unique<OrderStep<int8_t, int64_t>>(logits.id, y.cols, edges, loops, std::move(constant), y.id);
}

StepPtr float_order_step(FloatsAt logits, EdgesId edges, LoopLogits loops, std::vector<float> constant, FloatsAt y) {
  return std::make_unique<OrderStep<float, float>>(logits.id, y.cols, edges, loops, std::move(constant), y.id);
}

}  // namespace degreequant
