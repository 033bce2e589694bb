// What attention and the softmax over edges take of a vector beside its codes: multipliers, reciprocals and shares, exactly. `Simd` and
// `Wide` are what one instruction set calls its vectors of 32- and of 64-bit lanes.
#pragma once

#include "attention.h"
#include "exact.h"

namespace degreequant {

template <typename Simd, typename Wide>
struct ExactLanes : Simd {
  using Vector = typename Simd::Vector;
  using Rule = ExactRule<Wide>;
  using Multipliers = typename Rule::Pair;

  DEGREEQUANT_INLINE static Multipliers multipliers(Vector mantissa, Vector shift) noexcept { return Rule::pair(mantissa, shift); }
  // combine and bounded.
  DEGREEQUANT_INLINE static Multipliers combined(Vector a_mantissa, Vector a_shift, Vector b_mantissa, Vector b_shift,
                                                 ShiftLimits limits) noexcept {
    const Multipliers a = multipliers(a_mantissa, a_shift), b = multipliers(b_mantissa, b_shift);
    return {Rule::bounded(Rule::combine(a.low, b.low), limits), Rule::bounded(Rule::combine(a.high, b.high), limits)};
  }
  DEGREEQUANT_INLINE static void store_multipliers(const Multipliers& m, int32_t* mantissa, int32_t* shift) noexcept {
    Simd::store(mantissa, Wide::narrow(m.low.mantissa, m.high.mantissa));
    Simd::store(shift, Wide::narrow(m.low.shift, m.high.shift));
  }

  DEGREEQUANT_INLINE static Vector requantized(Vector acc, const Multipliers& m, Vector addend, Clamp clamp) noexcept {
    return Rule::codes(acc, m, addend, clamp);
  }
  // The codes of a rule's columns from `col` on, whose multipliers are given.
  DEGREEQUANT_INLINE static Vector codes_with(Vector acc, const Multipliers& m, const Requantize& rule, int64_t col,
                                              int64_t count) noexcept {
    return Rule::codes(acc, m, rule, col, count);
  }

  // from_real(1 / total) in each lane, or 0; totals are below 2^46.
  DEGREEQUANT_INLINE static void store_reciprocals(const int64_t* totals, int32_t* mantissas, int32_t* shifts) noexcept {
    const auto low = reciprocals(Wide::load(totals)), high = reciprocals(Wide::load(totals + Wide::kLanes));
    store_multipliers({low, high}, mantissas, shifts);
  }

  // share_of, of each lane.
  DEGREEQUANT_INLINE static void store_shares(int64_t* shares, Vector num, const Multipliers& m, int32_t bits) noexcept {
    Wide::store(shares, share(Wide::low(num), m.low, bits));
    Wide::store(shares + Wide::kLanes, share(Wide::high(num), m.high, bits));
  }

 private:
  using WideVector = typename Wide::Vector;

  // The upper 31 bits of the float64's fraction, rounded, and the shift that its exponent is.
  DEGREEQUANT_INLINE static typename Rule::Multipliers reciprocals(WideVector total) noexcept {
    const WideVector zero = Wide::set(0), bits = Wide::reciprocal(total);
    const WideVector below_one = Wide::bit_and(bits, Wide::set((int64_t{1} << 52) - 1));
    const WideVector fraction = Wide::add(below_one, Wide::set((int64_t{1} << 52) + (1 << 21)));
    const WideVector rounded = Wide::template shift_right<22>(fraction), most = Wide::set(kMaxMantissa);
    const WideVector shift = Wide::subtract(Wide::set(31 + 1022), Wide::template shift_right<52>(bits));
    const WideVector carried = Wide::where_greater(rounded, most, Wide::subtract(shift, Wide::set(1)), shift);
    const WideVector mantissa = Wide::where_greater(rounded, most, Wide::set(kNormal), rounded);
    return {Wide::where_greater(total, zero, mantissa, zero), Wide::where_greater(total, zero, carried, zero)};
  }

  DEGREEQUANT_INLINE static WideVector share(typename Wide::Half num, typename Rule::Multipliers m, int32_t bits) noexcept {
    const WideVector product = Wide::multiply(Wide::widen(num), m.mantissa);
    const WideVector places = Wide::subtract(m.shift, Wide::set(bits));
    const WideVector shifted = Wide::where_greater(places, Wide::set(0), Rule::round_shift(product, places), product);
    return Wide::limited(shifted, -kMaxShare, kMaxShare);
  }
};

}  // namespace degreequant
