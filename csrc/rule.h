// A requantization rule, with what the vectorised kernels read of it worked out once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace degreequant {

// The limits of addends within ±kMaxAddend; null for none.
ShiftLimits limits_of(Clamp clamp, const int32_t* addends, size_t count) noexcept;

class Rule {
 public:
  // Multipliers one for all channels, or one for each; addends one for each channel, or none at all.
  Rule(std::vector<int32_t> mantissa, std::vector<int32_t> shift, std::vector<int32_t> addend, bool has_addend, Clamp clamp);

  // The kernels' view, with the rows' own multipliers (count 0: none).
  Requantize view(Multipliers row) const noexcept;

  std::vector<int32_t> mantissa;
  std::vector<int32_t> shift;
  std::vector<int32_t> addend;
  bool has_addend;
  Clamp clamp;

 private:
  int64_t half() const noexcept;  // of a step, in the unit of an addend
  void prepare_channels();
  void prepare_estimate();

  ShiftLimits limits_;
  std::vector<int64_t> bias_;
  std::vector<int64_t> bounded_mantissa_;
  std::vector<int64_t> bounded_shift_;
  std::vector<int64_t> rounding_;
  CodeRange shifts_ = {0, 0};
  std::vector<float> scales_;
  std::vector<float> addends_;
  EstimateRule estimate_ = {};  // but for where the vectors lie
};

}  // namespace degreequant
