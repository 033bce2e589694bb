// Search for what is not a number.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace degreequant {

// Position of the first NaN or infinity among `count` floats, or count.
inline int64_t find_nonfinite(const float* x, int64_t count) noexcept {
  constexpr uint32_t kExponent = 0x7f800000;
  bool found = false;
  for (int64_t i = 0; i < count; ++i) found |= (std::bit_cast<uint32_t>(x[i]) & kExponent) == kExponent;
  if (!found) return count;
  return std::find_if(x, x + count, [](float value) { return !std::isfinite(value); }) - x;
}

}  // namespace degreequant
