// The one place of the core where a real factor becomes a multiplier (docs/numerics.md, "Multiplier").
#pragma once

#include "requantize.h"

namespace degreequant {

// The nearest multiplier with a 31-bit mantissa; `factor` is finite. Exact in float64.
DEGREEQUANT_INLINE Multiplier from_real(double factor) noexcept {
  if (factor == 0) return {0, 0};
  int exponent = 0;
  const double fraction = __builtin_frexp(factor < 0 ? -factor : factor, &exponent);
  const int64_t rounded = static_cast<int64_t>(fraction * 0x1p31 + 0.5);
  const bool carry = rounded == int64_t{1} << 31;
  const int32_t mantissa = carry ? 1 << 30 : static_cast<int32_t>(rounded);
  return {factor < 0 ? -mantissa : mantissa, 31 - exponent - carry};
}

}  // namespace degreequant
