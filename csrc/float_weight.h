// A float32 weight, packed once into the layout that the kernels read, and the end of an accumulator.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "float_kernels.h"

namespace degreequant {

class PackedFloatWeight {
 public:
  // `weight` is [out, in].
  PackedFloatWeight(const float* weight, int64_t out, int64_t in);

  int64_t out() const noexcept { return out_; }
  int64_t in() const noexcept { return in_; }
  FloatWeight view() const noexcept { return {packed_.get(), out_, in_}; }

 private:
  struct AlignedDelete {
    void operator()(float* p) const noexcept { ::operator delete[](p, kAlignment); }
  };
  static constexpr std::align_val_t kAlignment{64};

  int64_t out_;
  int64_t in_;
  std::unique_ptr<float[], AlignedDelete> packed_;
};

// The head of each of `cols` columns, and of as many more as FloatAttention asks for.
std::vector<int32_t> heads_of_columns(int64_t cols, int64_t heads);

// What a FloatFinish points to.
struct FloatFinishObject {
  std::optional<std::vector<float>> scale;
  std::optional<std::vector<float>> bias;
  bool relu;

  FloatFinish view() const noexcept { return {scale ? scale->data() : nullptr, bias ? bias->data() : nullptr, relu}; }
};

}  // namespace degreequant
