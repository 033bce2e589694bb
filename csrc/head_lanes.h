// Which head each lane of a vector of columns belongs to, and how what heads have is brought to the lanes.
#pragma once

#include "softmax.h"

namespace degreequant {

// For `columns` columns at most, vector after vector.
template <typename Simd, int64_t columns>
class HeadLanes {
 public:
  using Vector = typename Simd::Vector;

  // Lane i of a vector belongs to head_of(i), which is least for lane 0.
  template <typename F>
  DEGREEQUANT_INLINE void place(int64_t vector, F head_of) noexcept {
    first_[vector] = static_cast<int32_t>(head_of(0));
    for (int64_t i = 0; i < Simd::kLanes; ++i) behind_[vector * Simd::kLanes + i] = static_cast<int32_t>(head_of(i)) - first_[vector];
  }

  DEGREEQUANT_INLINE int32_t first(int64_t vector) const noexcept { return first_[vector]; }
  DEGREEQUANT_INLINE Vector behind(int64_t vector) const noexcept { return Simd::load(behind_ + vector * Simd::kLanes); }

  // What the lanes' heads have among the values of all heads, of which whole vectors can be read.
  DEGREEQUANT_INLINE Vector pick(const int32_t* values, int64_t vector) const noexcept {
    return Simd::permute(Simd::load(values + first(vector)), behind(vector));
  }

 private:
  int32_t first_[columns / kMinLanes + 1];
  int32_t behind_[columns + kMaxLanes];
};

}  // namespace degreequant
