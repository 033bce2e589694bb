#include <cstring>
#include <utility>

#include "finite.h"
#include "steps.h"

namespace degreequant {
namespace {

class FloatInputStep final : public Step {
 public:
  FloatInputStep(std::string name, TensorId x, int64_t cols, TensorId y) : name_(std::move(name)), x_(x), cols_(cols), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const float* x = frame.values<float>(x_) + begin * cols_;
    const int64_t count = (end - begin) * cols_;
    const int64_t bad = find_nonfinite(x, count);
    if (bad < count) frame.fault(begin * cols_ + bad, x[bad]);
    if (count > 0) std::memcpy(frame.mutable_values<float>(y_) + begin * cols_, x, static_cast<size_t>(count) * sizeof(float));
  }

  std::string explain(int64_t position, double value) const override {
    return name_ + ": expected finite features, got " + std::to_string(value) + " at row " + std::to_string(position / cols_) +
           ", column " + std::to_string(position % cols_);
  }

 private:
  std::string name_;
  TensorId x_;
  int64_t cols_;
  TensorId y_;
};

class FloatLinearStep final : public Step {
 public:
  FloatLinearStep(TensorId x, FloatWeight weight, TensorId y) : x_(x), weight_(std::move(weight)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    for (int64_t i = begin; i < end; ++i) {
      const float* x = frame.values<float>(x_) + i * weight_.in;
      float* y = frame.mutable_values<float>(y_) + i * weight_.out;
      for (int64_t o = 0; o < weight_.out; ++o) {
        float sum = 0;
        for (int64_t k = 0; k < weight_.in; ++k) sum += x[k] * weight_.weight[o * weight_.in + k];
        y[o] = weight_.bias.empty() ? sum : sum + weight_.bias[o];
      }
    }
  }

 private:
  TensorId x_;
  FloatWeight weight_;
  TensorId y_;
};

class FloatAggregateStep final : public Step {
 public:
  FloatAggregateStep(TensorId x, int64_t cols, EdgesId edges, std::vector<float> bias, TensorId y)
      : x_(x), cols_(cols), edges_(edges), bias_(std::move(bias)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Edges& edges = frame.edges[edges_];
    for (int64_t row = begin; row < end; ++row) {
      float* y = frame.mutable_values<float>(y_) + row * cols_;
      for (int64_t c = 0; c < cols_; ++c) y[c] = 0;
      for (int64_t e = edges.csr.indptr[row]; e < edges.csr.indptr[row + 1]; ++e) {
        const int64_t source = edges.csr.indices[e];
        const float* x = frame.values<float>(x_) + source * cols_;
        const float factor = edges.edge_factor != nullptr     ? edges.edge_factor[e]
                             : edges.source_factor != nullptr ? edges.source_factor[source]
                                                              : 1.0F;
        for (int64_t c = 0; c < cols_; ++c) y[c] += factor * x[c];
      }
      const float factor = edges.row_factor != nullptr ? edges.row_factor[row] : 1.0F;
      for (int64_t c = 0; c < cols_; ++c) y[c] = y[c] * factor + (bias_.empty() ? 0.0F : bias_[c]);
    }
  }

 private:
  TensorId x_;
  int64_t cols_;
  EdgesId edges_;
  std::vector<float> bias_;
  TensorId y_;
};

class FloatReluStep final : public Step {
 public:
  FloatReluStep(TensorId x, int64_t cols, TensorId y) : x_(x), cols_(cols), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const float* x = frame.values<float>(x_);
    float* y = frame.mutable_values<float>(y_);
    for (int64_t i = begin * cols_; i < end * cols_; ++i) y[i] = x[i] < 0 ? 0.0F : x[i];
  }

 private:
  TensorId x_;
  int64_t cols_;
  TensorId y_;
};

}  // namespace

StepPtr float_input_step(std::string name, TensorId x, int64_t cols, TensorId y) {
  return std::make_unique<FloatInputStep>(std::move(name), x, cols, y);
}

StepPtr float_linear_step(TensorId x, FloatWeight weight, TensorId y) { return std::make_unique<FloatLinearStep>(x, std::move(weight), y); }

StepPtr float_aggregate_step(TensorId x, int64_t cols, EdgesId edges, std::vector<float> bias, TensorId y) {
  return std::make_unique<FloatAggregateStep>(x, cols, edges, std::move(bias), y);
}

StepPtr float_relu_step(TensorId x, int64_t cols, TensorId y) { return std::make_unique<FloatReluStep>(x, cols, y); }

}  // namespace degreequant
