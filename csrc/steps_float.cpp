#include <cstring>
#include <utility>

#include "finite.h"
#include "steps.h"

namespace degreequant {
namespace {

Floats read(const Frame& frame, FloatsAt at) noexcept { return {frame.values<float>(at.id), frame.tensors[at.id].rows, at.cols}; }

MutableFloats written(const Frame& frame, FloatsAt at) noexcept {
  return {frame.mutable_values<float>(at.id), frame.tensors[at.id].rows, at.cols};
}

// Looks for what is not finite, and copies the rows where a tensor of their own is wanted.
class FloatInputStep final : public Step {
 public:
  FloatInputStep(std::string name, FloatsAt x, TensorId y) : name_(std::move(name)), x_(x), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const float* x = frame.values<float>(x_.id) + begin * x_.cols;
    const int64_t count = (end - begin) * x_.cols;
    const int64_t bad = find_nonfinite(x, count);
    if (bad < count) frame.fault(begin * x_.cols + bad, x[bad]);
    if (y_ == kNone || count == 0) return;
    std::memcpy(frame.mutable_values<float>(y_) + begin * x_.cols, x, static_cast<size_t>(count) * sizeof(float));
  }

  std::string explain(int64_t position, double value) const override {
    return name_ + ": expected finite features, got " + std::to_string(value) + " at row " + std::to_string(position / x_.cols) +
           ", column " + std::to_string(position % x_.cols);
  }

 private:
  std::string name_;
  FloatsAt x_;
  TensorId y_;  // or kNone
};

class FloatLinearStep final : public Step {
 public:
  FloatLinearStep(const Kernels& kernels, FloatsAt x, std::unique_ptr<PackedFloatWeight> weight, FloatFinishObject finish, FloatsAt y)
      : kernels_(*kernels.floats), x_(x), weight_(std::move(weight)), finish_(std::move(finish)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.linear(read(frame, x_), weight_->view(), finish_.view(), written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt x_;
  std::unique_ptr<PackedFloatWeight> weight_;
  FloatFinishObject finish_;
  FloatsAt y_;
};

class FloatAggregateStep final : public Step {
 public:
  FloatAggregateStep(const Kernels& kernels, FloatsAt x, EdgesId edges, float self_coefficient, FloatFinishObject finish, FloatsAt y)
      : kernels_(*kernels.floats), x_(x), edges_(edges), self_coefficient_(self_coefficient), finish_(std::move(finish)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Edges& edges = frame.edges[edges_];
    const FloatSum sum = {read(frame, x_), edges.csr, edges.source_factor, edges.edge_factor, edges.row_factor, self_coefficient_};
    kernels_.aggregate(sum, finish_.view(), written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt x_;
  EdgesId edges_;
  float self_coefficient_;
  FloatFinishObject finish_;
  FloatsAt y_;
};

class FloatMaximumStep final : public Step {
 public:
  FloatMaximumStep(const Kernels& kernels, FloatsAt x, EdgesId edges, FloatsAt y)
      : kernels_(*kernels.floats), x_(x), edges_(edges), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.maximum(read(frame, x_), frame.edges[edges_].csr, written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt x_;
  EdgesId edges_;
  FloatsAt y_;
};

class FloatAttendStep final : public Step {
 public:
  FloatAttendStep(const Kernels& kernels, FloatsAt x, TensorId logits, TensorId edge_logits, EdgesId edges, FloatAttentionRule attention,
                  FloatFinishObject finish, FloatsAt y)
      : kernels_(*kernels.floats),
        x_(x),
        logits_(logits),
        edge_logits_(edge_logits),
        edges_(edges),
        attention_(attention),
        head_of_column_(heads_of_columns(x.cols, attention.heads)),
        finish_(std::move(finish)),
        y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const FloatAttention attention = {read(frame, x_),
                                      frame.edges[edges_].csr,
                                      frame.values<float>(logits_),
                                      edge_logits_ == kNone ? nullptr : frame.values<float>(edge_logits_),
                                      head_of_column_.data(),
                                      attention_.heads,
                                      attention_.slope,
                                      attention_.average};
    kernels_.attend(attention, finish_.view(), written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt x_;
  TensorId logits_;
  TensorId edge_logits_;
  EdgesId edges_;
  FloatAttentionRule attention_;
  std::vector<int32_t> head_of_column_;
  FloatFinishObject finish_;
  FloatsAt y_;
};

class FloatConcatStep final : public Step {
 public:
  FloatConcatStep(const Kernels& kernels, std::vector<FloatsAt> pieces, FloatFinishObject finish, FloatsAt y)
      : kernels_(*kernels.floats), pieces_(std::move(pieces)), finish_(std::move(finish)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    int64_t offset = 0;
    for (const FloatsAt piece : pieces_) {
      kernels_.rescale(read(frame, piece), finish_.view(), written(frame, y_), offset, begin, end);
      offset += piece.cols;
    }
  }

 private:
  const FloatKernels& kernels_;
  std::vector<FloatsAt> pieces_;
  FloatFinishObject finish_;
  FloatsAt y_;
};

class FloatAddStep final : public Step {
 public:
  FloatAddStep(const Kernels& kernels, FloatsAt a, FloatsAt b, FloatFinishObject finish, FloatsAt y)
      : kernels_(*kernels.floats), a_(a), b_(b), finish_(std::move(finish)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.add(read(frame, a_), read(frame, b_), finish_.view(), written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt a_;
  FloatsAt b_;
  FloatFinishObject finish_;
  FloatsAt y_;
};

class FloatActivateStep final : public Step {
 public:
  FloatActivateStep(const Kernels& kernels, FloatsAt x, FloatFunction function, FloatsAt y)
      : kernels_(*kernels.floats), x_(x), function_(function), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.activate(read(frame, x_), function_.activation, function_.a, function_.b, written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  FloatsAt x_;
  FloatFunction function_;
  FloatsAt y_;
};

using RowsFunction = void (*)(Floats x, MutableFloats out, int64_t begin, int64_t end) noexcept;

class RowsStep final : public Step {
 public:
  RowsStep(RowsFunction function, FloatsAt x, FloatsAt y) : function_(function), x_(x), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    function_(read(frame, x_), written(frame, y_), begin, end);
  }

 private:
  RowsFunction function_;
  FloatsAt x_;
  FloatsAt y_;
};

class DequantizeStep final : public Step {
 public:
  DequantizeStep(const Kernels& kernels, CodesAt x, float scale, FloatsAt y) : kernels_(*kernels.floats), x_(x), scale_(scale), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.dequantize(frame.codes(x_), x_.zero_point, scale_, written(frame, y_), begin, end);
  }

 private:
  const FloatKernels& kernels_;
  CodesAt x_;
  float scale_;
  FloatsAt y_;
};

}  // namespace

StepPtr float_input_step(std::string name, FloatsAt x, TensorId y) { return std::make_unique<FloatInputStep>(std::move(name), x, y); }

StepPtr float_linear_step(const Kernels& kernels, FloatsAt x, std::unique_ptr<PackedFloatWeight> weight, FloatFinishObject finish,
                          FloatsAt y) {
  return std::make_unique<FloatLinearStep>(kernels, x, std::move(weight), std::move(finish), y);
}

StepPtr float_aggregate_step(const Kernels& kernels, FloatsAt x, EdgesId edges, float self_coefficient, FloatFinishObject finish,
                             FloatsAt y) {
  return std::make_unique<FloatAggregateStep>(kernels, x, edges, self_coefficient, std::move(finish), y);
}

StepPtr float_maximum_step(const Kernels& kernels, FloatsAt x, EdgesId edges, FloatsAt y) {
  return std::make_unique<FloatMaximumStep>(kernels, x, edges, y);
}

StepPtr float_attend_step(const Kernels& kernels, FloatsAt x, TensorId logits, TensorId edge_logits, EdgesId edges,
                          FloatAttentionRule attention, FloatFinishObject finish, FloatsAt y) {
  return std::make_unique<FloatAttendStep>(kernels, x, logits, edge_logits, edges, attention, std::move(finish), y);
}

StepPtr float_concat_step(const Kernels& kernels, std::vector<FloatsAt> pieces, FloatFinishObject finish, FloatsAt y) {
  return std::make_unique<FloatConcatStep>(kernels, std::move(pieces), std::move(finish), y);
}

StepPtr float_add_step(const Kernels& kernels, FloatsAt a, FloatsAt b, FloatFinishObject finish, FloatsAt y) {
  return std::make_unique<FloatAddStep>(kernels, a, b, std::move(finish), y);
}

StepPtr float_activate_step(const Kernels& kernels, FloatsAt x, FloatFunction function, FloatsAt y) {
  return std::make_unique<FloatActivateStep>(kernels, x, function, y);
}

StepPtr log_softmax_step(const Kernels& kernels, FloatsAt x, FloatsAt y) {
  return std::make_unique<RowsStep>(kernels.floats->log_softmax, x, y);
}

StepPtr softmax_step(const Kernels& kernels, FloatsAt x, FloatsAt y) { return std::make_unique<RowsStep>(kernels.floats->softmax, x, y); }

StepPtr dequantize_step(const Kernels& kernels, CodesAt x, float scale, FloatsAt y) {
  return std::make_unique<DequantizeStep>(kernels, x, scale, y);
}

}  // namespace degreequant
