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

std::vector<int32_t> heads_of_columns(int64_t cols, int64_t heads) {
  std::vector<int32_t> head(static_cast<size_t>(cols + kHeadPadding), static_cast<int32_t>(heads - 1));
  for (int64_t c = 0; c < cols; ++c) head[static_cast<size_t>(c)] = static_cast<int32_t>(c / (cols / heads));
  return head;
}

}  // namespace degreequant
