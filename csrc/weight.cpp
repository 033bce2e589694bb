#include "weight.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace degreequant {

PackedWeight::PackedWeight(const int8_t* codes, int64_t out, int64_t in, int64_t max_input)
    : out_(out), in_(in), max_input_(max_input), codes_(codes, codes + out * in) {
  for (const int8_t code : codes_) max_weight_ = std::max<int64_t>(max_weight_, std::abs(int{code}));
  pack();
}

void PackedWeight::pack() {
  const int64_t blocks = (out_ + kWeightBlock - 1) / kWeightBlock;
  const int64_t groups = (in_ + kWeightGroup - 1) / kWeightGroup;
  const size_t bytes = static_cast<size_t>(blocks * groups * kWeightBlock * kWeightGroup);
  packed_.reset(static_cast<int8_t*>(::operator new[](bytes, kAlignment)));
  if (bytes > 0) std::memset(packed_.get(), 0, bytes);
  column_sums_.assign(static_cast<size_t>(blocks * kWeightBlock), 0);
  for (int64_t o = 0; o < out_; ++o) {
    for (int64_t k = 0; k < in_; ++k) {
      const int8_t code = codes_[o * in_ + k];
      const int64_t group = (o / kWeightBlock) * groups + k / kWeightGroup;
      packed_[(group * kWeightBlock + o % kWeightBlock) * kWeightGroup + k % kWeightGroup] = code;
      column_sums_[o] += code;
    }
  }
}

Weight PackedWeight::view(int64_t max_input) const noexcept {
  return {codes_.data(), out_, in_, packed_.get(), column_sums_.data(), needs_wide(std::max(max_input, max_input_))};
}

}  // namespace degreequant
