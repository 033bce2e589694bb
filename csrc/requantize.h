// The one rounding rule (docs/numerics.md). Everything that turns an accumulator into a code includes this file.
#pragma once

#include <cstdint>

// Every function that the headers of the kernels define. A file compiled for AVX-512 must not leave an out-of-line copy of an inline
// function behind: the linker keeps one copy for the whole library, and a CPU without AVX-512 would run it. Always inlined, there is no
// copy.
#define DEGREEQUANT_INLINE [[gnu::always_inline]] inline
// The same for a lambda, after its parameters.
#define DEGREEQUANT_INLINE_LAMBDA __attribute__((always_inline))

namespace degreequant {

template <int kValue>
struct Index {
  constexpr operator int() const noexcept { return kValue; }
};

// Calls f(0), ..., f(kCount - 1) with constants, so that what they index can live in registers: compilers unroll loops too late for that.
template <int kCount, int kFirst = 0, typename F>
DEGREEQUANT_INLINE constexpr void unrolled(F f) noexcept {
  if constexpr (kFirst < kCount) {
    f(Index<kFirst>{});
    unrolled<kCount, kFirst + 1>(f);
  }
}

constexpr int32_t kMaxMantissa = INT32_MAX;
constexpr int32_t kMaxAddend = 1 << 30;

struct Clamp {
  int32_t zero_point;
  int32_t q_min;
  int32_t q_max;
};

// An addend counts 2^-14 of the output's step where there are up to 256 codes, and 2^-6 where there are more: in both it reaches 2^8 times
// as far as the codes do.
constexpr int32_t kAddendBits = 14;
constexpr int32_t kWideAddendBits = 6;
DEGREEQUANT_INLINE constexpr int32_t addend_bits(Clamp c) noexcept { return c.q_max - c.q_min > 255 ? kWideAddendBits : kAddendBits; }

// Of the multipliers of a rule. `least` is the addend's bits, `most` at most kMaxShift.
struct ShiftLimits {
  int32_t least;
  int32_t most;
};
constexpr int32_t kMaxShift = 45;

// Keeps addend * 2^(shift - least) below 2^62, where no addend is larger than `largest`.
DEGREEQUANT_INLINE constexpr ShiftLimits shift_limits(Clamp c, int32_t largest) noexcept {
  const int32_t most = addend_bits(c) + 61 - (largest < 2 ? 0 : 32 - __builtin_clz(static_cast<uint32_t>(largest - 1)));
  return {addend_bits(c), most < kMaxShift ? most : kMaxShift};
}

// mantissa * 2^-shift.
struct Multiplier {
  int32_t mantissa;
  int32_t shift;
};

// round-half-away-from-zero(value / 2^shift), 0 <= shift < 63 (shift < 127 for 128 bits).
template <typename Wide>
DEGREEQUANT_INLINE constexpr Wide round_shift(Wide value, int32_t shift) noexcept {
  if (shift == 0) return value;
  const Wide half = Wide{1} << (shift - 1);
  return (value + half - (value < 0 ? 1 : 0)) >> shift;
}

// |a.mantissa * b.mantissa| < 2^62, so the result always fits an int32.
DEGREEQUANT_INLINE constexpr Multiplier combine(Multiplier a, Multiplier b) noexcept {
  const int64_t product = int64_t{a.mantissa} * b.mantissa;
  return {static_cast<int32_t>(round_shift(product, 31)), a.shift + b.shift - 31};
}

// The same factor with a shift within the limits, as requantize needs it.
DEGREEQUANT_INLINE constexpr Multiplier bounded(Multiplier m, ShiftLimits limits) noexcept {
  if (m.shift > limits.most) {
    const int32_t excess = m.shift - limits.most;
    return {excess > 32 ? 0 : static_cast<int32_t>(round_shift(int64_t{m.mantissa}, excess)), limits.most};
  }
  if (m.shift < limits.least) {
    const int32_t missing = limits.least - m.shift;
    const int64_t scaled = int64_t{m.mantissa} * (int64_t{1} << (missing > 31 ? 31 : missing));
    const int64_t limited = scaled > kMaxMantissa ? kMaxMantissa : scaled < -kMaxMantissa ? -kMaxMantissa : scaled;
    return {static_cast<int32_t>(limited), limits.least};
  }
  return m;
}

template <typename Wide>
DEGREEQUANT_INLINE constexpr int32_t clamp_code(Wide value, Clamp c) noexcept {
  value += c.zero_point;
  return static_cast<int32_t>(value < c.q_min ? c.q_min : value > c.q_max ? c.q_max : value);
}

// |acc| < 2^31, m bounded, with the limits of the clamp and the addends: every intermediate is below 2^63.
DEGREEQUANT_INLINE constexpr int32_t requantize(int32_t acc, Multiplier m, int32_t addend, Clamp c) noexcept {
  const int64_t product = int64_t{acc} * m.mantissa + int64_t{addend} * (int64_t{1} << (m.shift - addend_bits(c)));
  return clamp_code(round_shift(product, m.shift), c);
}

// |acc| < 2^62: the product takes 128 bits.
__extension__ typedef __int128 int128_t;

DEGREEQUANT_INLINE constexpr int32_t requantize_wide(int64_t acc, Multiplier m, int32_t addend, Clamp c) noexcept {
  const int128_t product =
      static_cast<int128_t>(acc) * m.mantissa + static_cast<int128_t>(addend) * (int64_t{1} << (m.shift - addend_bits(c)));
  return clamp_code(round_shift(product, m.shift), c);
}

// Whichever of the two `acc` needs; they agree where both may be used.
DEGREEQUANT_INLINE constexpr int32_t requantize_any(int64_t acc, Multiplier m, int32_t addend, Clamp c) noexcept {
  const bool narrow = acc >= INT32_MIN && acc <= INT32_MAX;
  return narrow ? requantize(static_cast<int32_t>(acc), m, addend, c) : requantize_wide(acc, m, addend, c);
}

}  // namespace degreequant
