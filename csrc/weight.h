// A linear layer's weight codes, packed once into the layout the vectorised kernels read.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "kernels.h"

namespace degreequant {

constexpr int64_t kMaxInputs = (int64_t{1} << 24) - 1;  // keeps a column sum of int8 codes in int32

class PackedWeight {
 public:
  // `codes` is [out, in] with in <= kMaxInputs; max_input is the largest |x - zero_point| the layer's input can take.
  PackedWeight(const int8_t* codes, int64_t out, int64_t in, int64_t max_input);

  int64_t out() const noexcept { return out_; }
  int64_t in() const noexcept { return in_; }
  bool wide() const noexcept { return needs_wide(max_input_); }

  // The kernels' view, for an input whose storage and zero point allow |x - zero_point| <= max_input. Codes outside the promised range are
  // thus still summed exactly.
  Weight view(int64_t max_input) const noexcept;

 private:
  struct AlignedDelete {
    void operator()(int8_t* p) const noexcept { ::operator delete[](p, kAlignment); }
  };
  static constexpr std::align_val_t kAlignment{64};

  bool needs_wide(int64_t max_input) const noexcept { return in_ * max_input * max_weight_ >= int64_t{1} << 31; }
  void pack();

  int64_t out_;
  int64_t in_;
  int64_t max_input_;
  int64_t max_weight_ = 0;
  std::vector<int8_t> codes_;
  std::vector<int32_t> column_sums_;
  std::unique_ptr<int8_t[], AlignedDelete> packed_;
};

}  // namespace degreequant
