#include "float_weight.h"

#include <algorithm>

namespace degreequant {

PackedFloatWeight::PackedFloatWeight(const float* weight, int64_t out, int64_t in) : out_(out), in_(in) {
  const int64_t blocks = (out + kFloatBlock - 1) / kFloatBlock;
  const size_t count = static_cast<size_t>(blocks * in * kFloatBlock);
  packed_.reset(static_cast<float*>(::operator new[](count * sizeof(float), kAlignment)));
  std::fill_n(packed_.get(), count, 0.0F);
  for (int64_t o = 0; o < out; ++o) {
    float* panel = packed_.get() + (o / kFloatBlock) * in * kFloatBlock + o % kFloatBlock;
    for (int64_t k = 0; k < in; ++k) panel[k * kFloatBlock] = weight[o * in + k];
  }
}

}  // namespace degreequant
