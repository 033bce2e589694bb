#include <algorithm>
#include <cstring>
#include <utility>

#include "finite.h"
#include "requantize.h"
#include "steps.h"

namespace degreequant {
namespace {

class QuantizeStep final : public Step {
 public:
  QuantizeStep(const Kernels& kernels, std::string name, TensorId x, float inverse_scale, Clamp clamp, CodesAt y)
      : kernels_(kernels), name_(std::move(name)), x_(x), inverse_scale_(inverse_scale), clamp_(clamp), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const float* x = frame.values<float>(x_);
    if (kernels_.quantize(x, inverse_scale_, clamp_, frame.mutable_codes(y_), begin, end)) return;
    const int64_t bad = begin * y_.cols + find_nonfinite(x + begin * y_.cols, (end - begin) * y_.cols);
    frame.fault(bad, x[bad]);
  }

  std::string explain(int64_t position, double value) const override {
    return name_ + ": expected finite features, got " + std::to_string(value) + " at row " + std::to_string(position / y_.cols) +
           ", column " + std::to_string(position % y_.cols);
  }

 private:
  const Kernels& kernels_;
  std::string name_;
  TensorId x_;
  float inverse_scale_;
  Clamp clamp_;
  CodesAt y_;
};

class EmbeddingStep final : public Step {
 public:
  EmbeddingStep(std::string name, TensorId x, EmbeddingTable table, TensorId y)
      : name_(std::move(name)), x_(x), table_(std::move(table)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const int64_t columns = frame.tensors[x_].stride / static_cast<int64_t>(sizeof(int64_t));
    const int64_t* x = frame.values<int64_t>(x_);
    const Bound& y = frame.tensors[y_];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t category = x[i * columns + table_.column];
      if (category < 0 || category >= table_.categories) return frame.fault(i, static_cast<double>(category));
      std::memcpy(y.data + i * y.stride, table_.row(category), static_cast<size_t>(table_.row_bytes()));
    }
  }

  std::string explain(int64_t position, double value) const override {
    return name_ + " holds " + std::to_string(static_cast<int64_t>(value)) + " at row " + std::to_string(position) + ", column " +
           std::to_string(table_.column) + "; expected categories of at least 0 and below " + std::to_string(table_.categories);
  }

 private:
  std::string name_;
  TensorId x_;
  EmbeddingTable table_;
  TensorId y_;
};

class LinearStep final : public Step {
 public:
  LinearStep(const Kernels& kernels, CodesAt x, std::unique_ptr<PackedWeight> weight, RequantizeObject rule, CodesAt y)
      : kernels_(kernels), x_(x), weight_(std::move(weight)), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Weight weight = weight_->view(max_distance(x_.type, x_.zero_point));
    kernels_.linear(frame.codes(x_), x_.zero_point, weight, rule_.view({}), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt x_;
  std::unique_ptr<PackedWeight> weight_;
  RequantizeObject rule_;
  CodesAt y_;
};

// What a rule that is the same for all channels makes of each byte; nothing where it is not, or where codes are no bytes.
std::vector<int32_t> table_of(const Piece& piece, CodeType type) {
  const Rule& rule = piece.rule;
  const bool alike = rule.mantissa.size() == 1 &&
                     std::all_of(rule.addend.begin(), rule.addend.end(), [&](int32_t addend) { return addend == rule.addend.front(); });
  if (!alike || !is_byte(piece.x.type) || !is_byte(type)) return {};
  std::vector<int32_t> table;
  const CodeRange range = code_range(piece.x.type);
  const Requantize view = rule.view({});
  for (int32_t code = range.low; code <= range.high; ++code) {
    table.push_back(degreequant::requantize(code - piece.x.zero_point, view.multiplier(0, 0), view.addend_at(0), rule.clamp));
  }
  return table;
}

class ConcatStep final : public Step {
 public:
  ConcatStep(const Kernels& kernels, std::vector<Piece> pieces, CodesAt y) : kernels_(kernels), pieces_(std::move(pieces)), y_(y) {
    for (const Piece& piece : pieces_) tables_.push_back(table_of(piece, y.type));
  }

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    int64_t offset = 0;
    const MutableCodes y = frame.mutable_codes(y_);
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const Piece& piece = pieces_[i];
      const Codes x = frame.codes(piece.x);
      if (tables_[i].empty()) {
        kernels_.rescale(x, piece.x.zero_point, piece.rule.view({}), y, offset, begin, end);
      } else {
        kernels_.lookup(x, tables_[i].data(), {y.data + offset, y.rows, x.cols, y.type, y.stride}, begin, end);
      }
      offset += x.cols;
    }
  }

 private:
  const Kernels& kernels_;
  std::vector<Piece> pieces_;
  std::vector<std::vector<int32_t>> tables_;  // of the pieces that have one
  CodesAt y_;
};

class AddStep final : public Step {
 public:
  AddStep(const Kernels& kernels, Term a, Term b, AdditionRule rule, CodesAt y)
      : kernels_(kernels), a_(a), b_(b), rule_(std::move(rule)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    const Addition addition = {{frame.codes(a_.x), a_.x.zero_point, a_.mantissa},
                               {frame.codes(b_.x), b_.x.zero_point, b_.mantissa},
                               rule_.shift,
                               rule_.addend.empty() ? nullptr : rule_.addend.data(),
                               rule_.clamp};
    kernels_.add(addition, frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  Term a_;
  Term b_;
  AdditionRule rule_;
  CodesAt y_;
};

class LookupStep final : public Step {
 public:
  LookupStep(const Kernels& kernels, CodesAt x, std::vector<int32_t> table, CodesAt y)
      : kernels_(kernels), x_(x), table_(std::move(table)), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    kernels_.lookup(frame.codes(x_), table_.data(), frame.mutable_codes(y_), begin, end);
  }

 private:
  const Kernels& kernels_;
  CodesAt x_;
  std::vector<int32_t> table_;
  CodesAt y_;
};

}  // namespace

StepPtr quantize_step(const Kernels& kernels, std::string name, TensorId x, float inverse_scale, Clamp clamp, CodesAt y) {
  return std::make_unique<QuantizeStep>(kernels, std::move(name), x, inverse_scale, clamp, y);
}

StepPtr embedding_step(std::string name, TensorId x, EmbeddingTable table, TensorId y) {
  return std::make_unique<EmbeddingStep>(std::move(name), x, std::move(table), y);
}

StepPtr linear_step(const Kernels& kernels, CodesAt x, std::unique_ptr<PackedWeight> weight, RequantizeObject rule, CodesAt y) {
  return std::make_unique<LinearStep>(kernels, x, std::move(weight), std::move(rule), y);
}

StepPtr concat_step(const Kernels& kernels, std::vector<Piece> pieces, CodesAt y) {
  return std::make_unique<ConcatStep>(kernels, std::move(pieces), y);
}

StepPtr add_step(const Kernels& kernels, Term a, Term b, AdditionRule rule, CodesAt y) {
  return std::make_unique<AddStep>(kernels, a, b, std::move(rule), y);
}

StepPtr lookup_step(const Kernels& kernels, CodesAt x, std::vector<int32_t> table, CodesAt y) {
  return std::make_unique<LookupStep>(kernels, x, std::move(table), y);
}

}  // namespace degreequant
