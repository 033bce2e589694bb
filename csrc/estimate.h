// The rounding rule by float32 arithmetic, where that is sure to give the rule's codes: a third of the instructions that 64-bit products
// take. docs/numerics.md, "Estimates", has the bound.
//
// The estimate of acc * multiplier + addend is rounded to the nearest integer. If it lies so near to a half that the exact value may round
// otherwise, the rule itself is asked, for all lanes.
#pragma once

#include "kernels.h"

namespace degreequant {

// docs/numerics.md, "Estimates": the error of one, of what it is a sum of; and the largest with which estimates still spare work, which no
// rule for codes of 16 bits stays below.
constexpr float kEstimateError = 0x1p-21F;
constexpr float kLargestError = 0x1p-6F;
constexpr int32_t kMaxEstimateShift = kMaxShift + 6;  // what bounding a multiplier of such a shift rounds away is at most 2^-24 of it

// Beyond it everything is clamped.
DEGREEQUANT_INLINE constexpr int32_t largest_value(Clamp clamp) noexcept {
  const int32_t above = clamp.q_max - clamp.zero_point, below = clamp.zero_point - clamp.q_min;
  return 1 + (above > below ? above : below);
}

// mantissa * 2^-shift; |shift| < 96.
DEGREEQUANT_INLINE float real(Multiplier m) noexcept {
  const uint32_t power = static_cast<uint32_t>(127 - m.shift) << 23;
  return static_cast<float>(m.mantissa) * __builtin_bit_cast(float, power);
}

// Codes of estimates, and whether they are sure. `Lanes` is FloatLanes with the integers that floats come of and go to.
template <typename Lanes>
class EstimateRounder {
 public:
  using Vector = typename Lanes::Vector;
  using Integers = typename Lanes::Integers;

  // No estimate is sure before trust() says how near they are.
  DEGREEQUANT_INLINE explicit EstimateRounder(Clamp clamp) noexcept
      : low_(Lanes::set(static_cast<float>(clamp.q_min - clamp.zero_point))),
        high_(Lanes::set(static_cast<float>(clamp.q_max - clamp.zero_point))),
        margin_(Lanes::set(kNever)),
        offset_(Lanes::set_integer(__builtin_bit_cast(int32_t, kRounding) - clamp.zero_point)) {}

  // Whether the estimates that follow lie within `error` of the exact values, as far as these lie within the clamp.
  DEGREEQUANT_INLINE void trust(bool near, float error) noexcept { margin_ = Lanes::set(near ? 0.5F - error : kNever); }

  // The codes of estimates; returns how far each was rounded.
  DEGREEQUANT_INLINE Vector round(Vector estimate, Integers& codes) const noexcept {
    const Vector limited = Lanes::minimum(Lanes::maximum(estimate, low_), high_);
    const Vector rounded = Lanes::add(limited, Lanes::set(kRounding));  // the integer stands in the low bits
    codes = Lanes::subtract_integers(Lanes::bits(rounded), offset_);
    return Lanes::subtract(limited, Lanes::subtract(rounded, Lanes::set(kRounding)));
  }

  // The lanes that were rounded so far that their codes may not be those of the exact values, a bit each.
  DEGREEQUANT_INLINE uint32_t unsure(Vector rounded_by) const noexcept { return Lanes::lanes_beyond(rounded_by, margin_); }

 private:
  static constexpr float kRounding = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kNever = -1.0F;           // every fraction is beyond

  Vector low_;
  Vector high_;
  Vector margin_;
  Integers offset_;
};

// The codes of sums of two terms and an addend.
template <typename Lanes>
class SumEstimator {
 public:
  using Vector = typename Lanes::Vector;
  using Integers = typename Lanes::Integers;

  DEGREEQUANT_INLINE SumEstimator(const Addition& sum, int64_t cols) noexcept
      : rounder_(sum.clamp), a_(Lanes::set(factor(sum.a, sum.shift))), b_(Lanes::set(factor(sum.b, sum.shift))) {
    const float error = kEstimateError * (largest(sum.a, sum.shift) + largest(sum.b, sum.shift) + largest_addend(sum, cols));
    rounder_.trust(error < kLargestError, error);
  }

  DEGREEQUANT_INLINE Vector bias(Integers addend) const noexcept {
    return Lanes::multiply(Lanes::to_floats(addend), Lanes::set(kAddendUnit));
  }

  // The codes that the estimates give; returns how far each was rounded.
  DEGREEQUANT_INLINE Vector codes(Integers a, Integers b, Vector bias, Integers& result) const noexcept {
    return rounder_.round(Lanes::fma(Lanes::to_floats(a), a_, Lanes::fma(Lanes::to_floats(b), b_, bias)), result);
  }

  // The lanes that were rounded so far that their codes may be wrong, a bit each.
  DEGREEQUANT_INLINE uint32_t unsure(Vector rounded_by) const noexcept { return rounder_.unsure(rounded_by); }

 private:
  static constexpr float kAddendUnit = 1.0F / (1 << kAddendBits);

  DEGREEQUANT_INLINE static float factor(const Addition::Term& term, int32_t shift) noexcept { return real({term.mantissa, shift}); }

  DEGREEQUANT_INLINE static float largest(const Addition::Term& term, int32_t shift) noexcept {
    const float value = factor(term, shift) * static_cast<float>(max_distance(term.x.type, term.zero_point));
    return value < 0 ? -value : value;
  }

  DEGREEQUANT_INLINE static float largest_addend(const Addition& sum, int64_t cols) noexcept {
    int32_t most = 0;
    for (int64_t c = 0; sum.addend != nullptr && c < cols; ++c) {
      const int32_t magnitude = sum.addend[c] < 0 ? -sum.addend[c] : sum.addend[c];
      most = magnitude > most ? magnitude : most;
    }
    return static_cast<float>(most) * kAddendUnit;
  }

  EstimateRounder<Lanes> rounder_;
  Vector a_;
  Vector b_;
};

// Requantizes whole rows. `Exact` does so by the rule.
template <typename Exact, typename Lanes>
class EstimatingRequantizer {
 public:
  using Vector = typename Lanes::Vector;
  using Integers = typename Lanes::Integers;

  // What so many channels as a vector has lanes are multiplied by, and what is added.
  struct Channels {
    Vector scale;
    Vector bias;
  };

  DEGREEQUANT_INLINE explicit EstimatingRequantizer(const Requantize& rule) noexcept
      : rule_(rule),
        rounder_(rule.clamp),
        scale_(rule.prepared.estimate.scale == nullptr ? kOnes : rule.prepared.estimate.scale),
        bias_(rule.prepared.estimate.bias == nullptr ? kZeros : rule.prepared.estimate.bias),
        scale_mask_(rule.prepared.estimate.scale == nullptr ? 0 : ~int64_t{0}),
        bias_mask_(rule.prepared.estimate.bias == nullptr ? 0 : ~int64_t{0}),
        channel_factor_(rule.channel.count == 1 ? real(bounded(rule.channel.at(0))) : 1.0F),
        row_factor_(Lanes::set(channel_factor_)) {
    rounder_.trust(rule.prepared.estimate.possible, rule.prepared.estimate.error);
  }

  DEGREEQUANT_INLINE const Requantize& rule() const noexcept { return rule_; }

  // Before the first codes of each row.
  DEGREEQUANT_INLINE void start_row(int64_t row) noexcept {
    row_ = row;
    if (rule_.row.count == 0) return;
    const Multiplier m = rule_.row.at(row);
    const CodeRange shifts = rule_.prepared.shifts;
    const bool near = rule_.prepared.estimate.combines && (m.mantissa >= kNormal || m.mantissa <= -kNormal) &&
                      m.shift - 31 + shifts.low >= kAddendBits && m.shift - 31 + shifts.high <= kMaxShift;
    rounder_.trust(near, rule_.prepared.estimate.error);
    if (near) row_factor_ = Lanes::set(real(m) * channel_factor_);
  }

  // Of the channels from `col` on, a multiple of the lanes.
  DEGREEQUANT_INLINE Channels channels(int64_t col) const noexcept {
    return {Lanes::load(scale_ + (col & scale_mask_)), Lanes::load(bias_ + (col & bias_mask_))};
  }

  // The codes that the estimates give; returns how far each was rounded.
  DEGREEQUANT_INLINE Vector estimate(Integers acc, const Channels& channels, Integers& codes) const noexcept {
    const Vector scale = Lanes::multiply(row_factor_, channels.scale);
    return rounder_.round(Lanes::fma(Lanes::to_floats(acc), scale, channels.bias), codes);
  }

  // The lanes that were rounded so far that their codes may be wrong, a bit each.
  DEGREEQUANT_INLINE uint32_t unsure(Vector rounded_by) const noexcept { return rounder_.unsure(rounded_by); }

  // The codes of the first `count` accumulators of a vector, of a row's columns from `col` on.
  DEGREEQUANT_INLINE Integers codes(Integers acc, const Channels& channels, int64_t col, int64_t count) const noexcept {
    Integers result;
    if (unsure(estimate(acc, channels, result)) != 0) [[unlikely]] {
      result = exact_codes(rule_, row_, acc, col, count);
    }
    return result;
  }
  DEGREEQUANT_INLINE Integers codes(Integers acc, int64_t col, int64_t count) const noexcept {
    return codes(acc, channels(col), col, count);
  }

 private:
  alignas(64) static constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  alignas(64) static constexpr float kZeros[16] = {};
  static_assert(Lanes::kLanes <= 16);

  [[gnu::noinline]] static Integers exact_codes(const Requantize& rule, int64_t row, Integers acc, int64_t col, int64_t count) noexcept {
    Exact exact(rule);
    exact.start_row(row);
    return exact.codes(acc, col, count);
  }

  const Requantize& rule_;
  EstimateRounder<Lanes> rounder_;
  int64_t row_ = 0;
  const float* scale_;
  const float* bias_;
  int64_t scale_mask_;  // 0 where all channels share one
  int64_t bias_mask_;
  float channel_factor_;  // of all channels, where they share one
  Vector row_factor_;     // that and the row's
};

}  // namespace degreequant
