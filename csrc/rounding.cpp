#include "rounding.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "rounding_rows.h"

namespace degreequant {

#if defined(DEGREEQUANT_X86)
namespace avx2 {
extern const RoundingKernels rounding;
}
namespace avx512 {
extern const RoundingKernels rounding;
}
#endif

namespace {

constexpr RoundingKernels kPortable = {.round = round, .pass = pass};

// The number that `share` of all values lie beyond, in the order of `before`, if it is on this side of 0; else 0.
template <typename Before>
float outermost(std::vector<float>& side, size_t beyond, Before before) {
  if (side.size() <= beyond) return 0.0F;
  const auto place = side.begin() + static_cast<std::ptrdiff_t>(beyond);
  std::nth_element(side.begin(), place, side.end(), before);
  return *place;
}

}  // namespace

const RoundingKernels& rounding_kernels([[maybe_unused]] std::string_view isa) noexcept {
#if defined(DEGREEQUANT_X86)
  if (isa == "avx2") return avx2::rounding;
  if (isa == "avx512") return avx512::rounding;
#endif
  return kPortable;
}

std::pair<float, float> sample_percentiles(const Activation32& x, Sample sample, double share, bool relu) {
  const int64_t count = x.rows * x.cols;
  std::vector<float> below;
  std::vector<float> above;
  bool seen = false;
  bool seen_nan = false;
  for (int64_t i = sample.start; i < count; i += sample.step) {
    if (x.is_protected != nullptr && x.is_protected[i / x.cols]) continue;
    const float value = x.values[i];
    seen = true;
    if (value > 0.0F) {
      above.push_back(value);
    } else if (value < 0.0F) {
      if (!relu) below.push_back(value);
    } else {
      seen_nan = seen_nan || std::isnan(value);
    }
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (!seen) return {kInfinity, -kInfinity};
  const size_t beyond = static_cast<size_t>(static_cast<double>(below.size() + above.size()) * share);
  const float low = outermost(below, beyond, std::less<float>());
  const float high = outermost(above, beyond, std::greater<float>());
  return {low, seen_nan ? std::numeric_limits<float>::quiet_NaN() : high};
}

}  // namespace degreequant
