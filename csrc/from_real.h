// The one place of the core where a real factor becomes a multiplier (docs/numerics.md, "Multiplier").
#pragma once

#include "requantize.h"

namespace degreequant {

// The nearest multiplier with a 31-bit mantissa; `factor` is finite. It reads the bits of the float64, as frexp does, but without a call:
// the vectorised kernels need one factor per row and head.
DEGREEQUANT_INLINE constexpr Multiplier from_real(double factor) noexcept {
  if (factor == 0) return {0, 0};
  const double magnitude = factor < 0 ? -factor : factor;
  const bool subnormal = magnitude < 0x1p-1022;
  const uint64_t bits = __builtin_bit_cast(uint64_t, subnormal ? magnitude * 0x1p64 : magnitude);
  const int32_t exponent = static_cast<int32_t>(bits >> 52) - (subnormal ? 1022 + 64 : 1022);
  const uint64_t fraction = (bits & ((uint64_t{1} << 52) - 1)) | uint64_t{1} << 52;      // in [1/2, 1), counted in 2^-53
  const int64_t rounded = static_cast<int64_t>((fraction + (uint64_t{1} << 21)) >> 22);  // the same in 2^-31, halves up
  const bool carry = rounded == int64_t{1} << 31;
  const int32_t mantissa = carry ? 1 << 30 : static_cast<int32_t>(rounded);
  return {factor < 0 ? -mantissa : mantissa, 31 - exponent - carry};
}

}  // namespace degreequant
