// The rounding rule on vectors of 64-bit lanes. `Wide` is what one instruction set calls them (simd_<isa>.h): its Vector has kLanes lanes
// of 64 bits, Half as many of 32, and Whole twice as many of these, which is what the kernels call a vector.
#pragma once

#include "kernels.h"

namespace degreequant {

template <typename Wide>
struct ExactRule {
  using Vector = typename Wide::Vector;
  using Half = typename Wide::Half;
  using Whole = typename Wide::Whole;

  struct Multipliers {
    Vector mantissa;
    Vector shift;
  };
  // Of the accumulators of a whole vector.
  struct Pair {
    Multipliers low;
    Multipliers high;
  };

  DEGREEQUANT_INLINE static Multipliers widen(Half mantissa, Half shift) noexcept { return {Wide::widen(mantissa), Wide::widen(shift)}; }
  DEGREEQUANT_INLINE static Pair pair(Whole mantissa, Whole shift) noexcept {
    return {widen(Wide::low(mantissa), Wide::low(shift)), widen(Wide::high(mantissa), Wide::high(shift))};
  }

  // Rounds half away from zero; every shift is at least 1.
  DEGREEQUANT_INLINE static Vector round_shift(Vector value, Vector shift) noexcept {
    const Vector half = Wide::shift_left(Wide::set(1), Wide::subtract(shift, Wide::set(1)));
    return Wide::shift_rounded(Wide::add(value, half), shift);
  }

  DEGREEQUANT_INLINE static Multipliers combine(Multipliers a, Multipliers b) noexcept {
    const Vector product = Wide::add(Wide::multiply(a.mantissa, b.mantissa), Wide::set(1 << 30));
    return {Wide::shift_rounded(product, Wide::set(31)), Wide::add(Wide::add(a.shift, b.shift), Wide::set(-31))};
  }

  // An int32 shifted by 33 rounds to 0, as any larger excess does. Lanes that need no shift are shifted somehow, and dropped.
  DEGREEQUANT_INLINE static Multipliers bounded(Multipliers m, ShiftLimits limits) noexcept {
    const Vector most = Wide::set(limits.most), least = Wide::set(limits.least);
    const Vector excess = Wide::minimum(Wide::subtract(m.shift, most), Wide::set(33));
    Vector mantissa = Wide::where_greater(m.shift, most, round_shift(m.mantissa, excess), m.mantissa);
    if (Wide::any_greater(least, m.shift)) [[unlikely]] {
      const Vector missing = Wide::minimum(Wide::subtract(least, m.shift), Wide::set(31));
      const Vector raised = Wide::limited(Wide::shift_left(m.mantissa, missing), -kMaxMantissa, kMaxMantissa);
      mantissa = Wide::where_greater(least, m.shift, raised, mantissa);
    }
    return {mantissa, Wide::limited(m.shift, limits.least, limits.most)};
  }

  // What is added before a shift by an addend's `bits`: addends with the half of a step that rounds.
  DEGREEQUANT_INLINE static Vector bias(Half addend, int32_t bits) noexcept {
    return Wide::add(Wide::widen(addend), Wide::set(int64_t{1} << (bits - 1)));
  }
  DEGREEQUANT_INLINE static Vector bias(const Requantize& rule, int64_t col, int64_t count) noexcept {
    if (rule.prepared.bias == nullptr) return Wide::set(int64_t{1} << (rule.limits.least - 1));
    return Wide::load_some(rule.prepared.bias + col, count);
  }

  // Products with their addends, shifted.
  DEGREEQUANT_INLINE static Vector steps(Vector product, Vector shift, Vector bias, int32_t bits) noexcept {
    const Vector rounding = Wide::shift_left(bias, Wide::subtract(shift, Wide::set(bits)));
    return Wide::shift_rounded(Wide::add(product, rounding), shift);
  }
  DEGREEQUANT_INLINE static Vector steps(Half acc, Multipliers m, Vector bias, int32_t bits) noexcept {
    return steps(Wide::multiply(Wide::widen(acc), m.mantissa), m.shift, bias, bits);
  }

  DEGREEQUANT_INLINE static Whole codes(Whole acc, const Pair& m, Whole addend, Clamp clamp) noexcept {
    const int32_t bits = addend_bits(clamp);
    const Vector low = steps(Wide::low(acc), m.low, bias(Wide::low(addend), bits), bits);
    return Wide::codes(low, steps(Wide::high(acc), m.high, bias(Wide::high(addend), bits), bits), clamp);
  }
  // The codes of the first `count` columns of a rule from `col` on, whose multipliers are given.
  DEGREEQUANT_INLINE static Whole codes(Whole acc, const Pair& m, const Requantize& rule, int64_t col, int64_t count) noexcept {
    const int32_t bits = rule.limits.least;
    const Vector low = steps(Wide::low(acc), m.low, bias(rule, col, count), bits);
    const Vector high = steps(Wide::high(acc), m.high, bias(rule, col + Wide::kLanes, count - Wide::kLanes), bits);
    return Wide::codes(low, high, rule.clamp);
  }
  // The codes of a * mantissa of a + b * mantissa of b + addend.
  [[gnu::noinline]] static Whole codes_of_sum(const Addition& sum, Whole a, Whole b, Whole addend) noexcept {
    const int32_t bits = addend_bits(sum.clamp);
    const auto half = [&](Half a_half, Half b_half, Half addend_half) DEGREEQUANT_INLINE_LAMBDA {
      const Vector a_term = Wide::multiply(Wide::widen(a_half), Wide::set(sum.a.mantissa));
      const Vector b_term = Wide::multiply(Wide::widen(b_half), Wide::set(sum.b.mantissa));
      return steps(Wide::add(a_term, b_term), Wide::set(sum.shift), bias(addend_half, bits), bits);
    };
    return Wide::codes(half(Wide::low(a), Wide::low(b), Wide::low(addend)), half(Wide::high(a), Wide::high(b), Wide::high(addend)),
                       sum.clamp);
  }
};

// Requantizes whole rows: what a row or a channel has of the rule is loaded or worked out once.
template <typename Wide>
class ExactRequantizer {
 public:
  using Vector = typename Wide::Vector;
  using Half = typename Wide::Half;
  using Whole = typename Wide::Whole;

  DEGREEQUANT_INLINE explicit ExactRequantizer(const Requantize& rule) noexcept
      : rule_(rule),
        kind_(rule.channel.count == 1 ? Kind::uniform
              : rule.row.count == 0   ? Kind::per_channel
                                      : Kind::combined) {
    if (kind_ == Kind::uniform && rule.row.count == 0) set_uniform(bounded(rule.channel.at(0), rule.limits));
  }

  DEGREEQUANT_INLINE const Requantize& rule() const noexcept { return rule_; }

  // Before the first codes of each row.
  DEGREEQUANT_INLINE void start_row(int64_t row) noexcept {
    if (rule_.row.count == 0) return;
    if (kind_ == Kind::uniform) return set_uniform(rule_.multiplier(row, 0));
    const Multiplier m = rule_.row.at(row);
    const CodeRange shifts = rule_.prepared.shifts;
    row_ = {Wide::set(m.mantissa), Wide::set(m.shift)};
    is_bounded_ = m.shift - 31 + shifts.low >= rule_.limits.least && m.shift - 31 + shifts.high <= rule_.limits.most;
  }

  // The codes of the first `count` of a vector of accumulators, of a row's columns from `col` on, a multiple of its lanes.
  DEGREEQUANT_INLINE Whole codes(Whole acc, int64_t col, int64_t count) const noexcept {
    const Vector low = rounded(Wide::low(acc), col, count);
    const Vector high = rounded(Wide::high(acc), col + Wide::kLanes, count - Wide::kLanes);
    return Wide::codes(low, high, rule_.clamp);
  }

 private:
  using Rule = ExactRule<Wide>;
  enum class Kind { uniform, per_channel, combined };

  DEGREEQUANT_INLINE void set_uniform(Multiplier m) noexcept {
    row_ = {Wide::set(m.mantissa), Wide::set(m.shift)};
    places_ = Wide::set(m.shift - rule_.limits.least);
    half_ = Wide::set(int64_t{1} << (m.shift - 1));
  }

  DEGREEQUANT_INLINE Vector rounded(Half acc, int64_t col, int64_t count) const noexcept {
    const ChannelRule& prepared = rule_.prepared;
    const Vector wide = Wide::widen(acc);
    if (kind_ == Kind::uniform) {
      const Vector rounding = prepared.bias == nullptr ? half_ : Wide::shift_left(Wide::load(prepared.bias + col), places_);
      return Wide::shift_rounded(Wide::add(Wide::multiply(wide, row_.mantissa), rounding), row_.shift);
    }
    if (kind_ == Kind::per_channel) {
      const Vector product = Wide::multiply(wide, Wide::load(prepared.mantissa + col));
      return Wide::shift_rounded(Wide::add(product, Wide::load(prepared.rounding + col)), Wide::load(prepared.shift + col));
    }
    const auto channel =
        Rule::widen(Wide::load_some(rule_.channel.mantissa + col, count), Wide::load_some(rule_.channel.shift + col, count));
    const auto both = Rule::combine(row_, channel);
    const auto m = is_bounded_ ? both : Rule::bounded(both, rule_.limits);
    return Rule::steps(Wide::multiply(wide, m.mantissa), m.shift, Rule::bias(rule_, col, count), rule_.limits.least);
  }

  const Requantize& rule_;
  Kind kind_;
  bool is_bounded_ = false;                                        // combined multipliers are
  typename Rule::Multipliers row_ = {Wide::set(0), Wide::set(0)};  // of all channels; or the row's, where channels have their own
  Vector places_ = Wide::set(0);                                   // shift - least
  Vector half_ = Wide::set(0);                                     // half a unit of the shift
};

}  // namespace degreequant
