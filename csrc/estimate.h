// The rounding rule by float32 arithmetic, where that is sure to give the rule's codes: a third of the instructions that 64-bit products
// take. docs/numerics.md, "Estimates", has the bound.
//
// The estimate of acc * multiplier + addend is placed between 256 and 512, where a float counts 2^-15: the bits behind the exponent are
// then the code less the least one, in 8 bits, and in 15 bits how far beyond a half the estimate is, plus a margin. Where that is so little
// that the exact value may lie before the half, the rule itself is asked, for all lanes.
#pragma once

#include "kernels.h"

namespace degreequant {

constexpr double kLargestError = 0x1p-6;              // with which estimates still spare work
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

// Where estimates are placed, and which of them are not sure.
class EstimatePlace {
 public:
  static constexpr int32_t kFractionBits = 15;
  static constexpr float kLeast = 256.5F;  // the place of the least code, halfway to the next

  // docs/numerics.md, "Estimates": `products` and `placed` are the largest magnitudes of what was multiplied and of what was added.
  DEGREEQUANT_INLINE static constexpr double error_of(double products, double placed) noexcept {
    return 21 * 0x1p-26 * products + 0x1p-24 * placed + 0x1p-16;
  }

  DEGREEQUANT_INLINE constexpr EstimatePlace(Clamp clamp, double error) noexcept
      : possible_(clamp.q_max - clamp.q_min <= UINT8_MAX && error < kLargestError),
        margin_(possible_ ? 1 + static_cast<int32_t>(error * (1 << kFractionBits)) : 0),
        shift_(static_cast<double>(kLeast) + clamp.zero_point - clamp.q_min + margin_ * 0x1p-15) {}

  DEGREEQUANT_INLINE constexpr bool possible() const noexcept { return possible_; }
  DEGREEQUANT_INLINE constexpr int32_t margin() const noexcept { return margin_; }  // in the unit of the fraction, above the error
  DEGREEQUANT_INLINE constexpr double shift() const noexcept { return shift_; }     // what is added to a step of the output

 private:
  bool possible_;
  int32_t margin_;
  double shift_;
};

// How far estimates are shifted at most, but for the margin.
DEGREEQUANT_INLINE constexpr double largest_shift(Clamp clamp) noexcept { return 257.0 + largest_value(clamp); }

// Codes of estimates, and whether they are sure. `Lanes` is FloatLanes with the integers that floats come of and go to.
template <typename Lanes>
class EstimateRounder {
 public:
  using Vector = typename Lanes::Vector;
  using Integers = typename Lanes::Integers;

  // No estimate is sure before trust() says how near they are.
  DEGREEQUANT_INLINE explicit EstimateRounder(Clamp clamp) noexcept
      : least_(Lanes::set_integer(bits_of(EstimatePlace::kLeast))),
        most_(Lanes::set_integer(bits_of(EstimatePlace::kLeast + static_cast<float>(clamp.q_max - clamp.q_min)))),
        offset_(Lanes::set_integer((bits_of(EstimatePlace::kLeast) >> EstimatePlace::kFractionBits) - clamp.q_min)),
        unsure_(Lanes::set_words(kNever)) {}

  // Whether the estimates that follow are so near to the exact values as the margin supposes.
  DEGREEQUANT_INLINE void trust(bool near, int32_t margin) noexcept { unsure_ = Lanes::set_words(near ? 4 * margin - 1 : kNever); }

  // The codes of estimates in their place; returns twice how far each is beyond a half, in the low word of each lane.
  DEGREEQUANT_INLINE Integers round(Vector estimate, Integers& codes) const noexcept {
    const Integers placed = Lanes::smaller(Lanes::larger(Lanes::bits(estimate), least_), most_);
    codes = Lanes::subtract_integers(Lanes::template shift_right<EstimatePlace::kFractionBits>(placed), offset_);
    return Lanes::add_integers(placed, placed);
  }

  // Of an estimate in its place times 2^16: its code less the least one, and 256 more, in the upper word of each lane, which no clamp has
  // limited, and what round() returns in the lower one. A place of 2^15 or more counts as a little less.
  DEGREEQUANT_INLINE static Integers words(Vector estimate) noexcept {
    return Lanes::to_integers(Lanes::minimum(estimate, Lanes::set(kLargestWords)));
  }

  // The least of several vectors begins with this.
  DEGREEQUANT_INLINE static Integers none() noexcept { return Lanes::set_integer(-1); }

  // Whether any lane's code may not be that of the exact value.
  DEGREEQUANT_INLINE bool unsure(Integers beyond) const noexcept { return Lanes::any_word_within(beyond, unsure_); }
  // The same of words().
  DEGREEQUANT_INLINE bool unsure_words(Integers words) const noexcept { return Lanes::any_lower_word_within(words, unsure_); }

 private:
  static constexpr float kLargestWords = 0x1.fffffep30F;  // below 2^31
  static constexpr int32_t kNever = UINT16_MAX - 1;       // twice any fraction is within

  DEGREEQUANT_INLINE static constexpr int32_t bits_of(float value) noexcept { return __builtin_bit_cast(int32_t, value); }

  Integers least_;
  Integers most_;
  Integers offset_;
  Integers unsure_;  // the largest word that is
};

// The codes of sums of two terms and an addend.
template <typename Lanes>
class SumEstimator {
 public:
  using Vector = typename Lanes::Vector;
  using Integers = typename Lanes::Integers;

  DEGREEQUANT_INLINE SumEstimator(const Addition& sum, int64_t cols) noexcept
      : rounder_(sum.clamp), a_(Lanes::set(factor(sum.a, sum.shift))), b_(Lanes::set(factor(sum.b, sum.shift))) {
    const double a = largest(sum.a, sum.shift), b = largest(sum.b, sum.shift);
    const EstimatePlace place(sum.clamp, EstimatePlace::error_of(a + b, 2 * (largest_addend(sum, cols) + largest_shift(sum.clamp)) + b));
    rounder_.trust(place.possible(), place.margin());
    shift_ = Lanes::set(static_cast<float>(place.shift()));
  }

  DEGREEQUANT_INLINE Vector no_bias() const noexcept { return shift_; }
  DEGREEQUANT_INLINE Vector bias(Integers addend) const noexcept {
    return Lanes::fma(Lanes::to_floats(addend), Lanes::set(kAddendUnit), shift_);
  }

  // The codes that the estimates give; returns how far each is beyond a half.
  DEGREEQUANT_INLINE Integers codes(Integers a, Integers b, Vector bias, Integers& result) const noexcept {
    return rounder_.round(Lanes::fma(Lanes::to_floats(a), a_, Lanes::fma(Lanes::to_floats(b), b_, bias)), result);
  }

  DEGREEQUANT_INLINE bool unsure(Integers beyond) const noexcept { return rounder_.unsure(beyond); }

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
  Vector shift_;
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
        bias_(rule.prepared.estimate.bias),
        scale_mask_(rule.prepared.estimate.scale == nullptr ? 0 : ~int64_t{0}),
        bias_mask_(rule.addend == nullptr ? 0 : ~int64_t{0}),
        channel_factor_(rule.channel.count == 1 ? real(bounded(rule.channel.at(0), rule.limits)) : 1.0F),
        row_factor_(Lanes::set(channel_factor_)) {
    rounder_.trust(rule.prepared.estimate.possible, rule.prepared.estimate.margin);
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
    rounder_.trust(near, rule_.prepared.estimate.margin);
    if (near) row_factor_ = Lanes::set(real(m) * channel_factor_);
  }

  // Of the channels from `col` on, a multiple of the lanes.
  DEGREEQUANT_INLINE Channels channels(int64_t col) const noexcept {
    return {Lanes::load(scale_ + (col & scale_mask_)), Lanes::load(bias_ + (col & bias_mask_))};
  }

  // The codes that the estimates give; returns how far each is beyond a half.
  DEGREEQUANT_INLINE Integers estimate(Integers acc, const Channels& channels, Integers& codes) const noexcept {
    const Vector scale = Lanes::multiply(row_factor_, channels.scale);
    return rounder_.round(Lanes::fma(Lanes::to_floats(acc), scale, channels.bias), codes);
  }

  // The channels of words(): their estimates are 2^16 times as large, which rounds nothing.
  DEGREEQUANT_INLINE Channels word_channels(int64_t col) const noexcept {
    const Channels given = channels(col);
    const Vector words = Lanes::set(0x1p16F);
    return {Lanes::multiply(Lanes::multiply(row_factor_, given.scale), words), Lanes::multiply(given.bias, words)};
  }

  // EstimateRounder::words of accumulators.
  DEGREEQUANT_INLINE static Integers words(Integers acc, const Channels& channels) noexcept {
    return EstimateRounder<Lanes>::words(Lanes::fma(Lanes::to_floats(acc), channels.scale, channels.bias));
  }

  DEGREEQUANT_INLINE static Integers none() noexcept { return EstimateRounder<Lanes>::none(); }
  DEGREEQUANT_INLINE bool unsure(Integers beyond) const noexcept { return rounder_.unsure(beyond); }
  DEGREEQUANT_INLINE bool unsure_words(Integers words) const noexcept { return rounder_.unsure_words(words); }

  // The codes of the first `count` accumulators of a vector, of a row's columns from `col` on.
  DEGREEQUANT_INLINE Integers codes(Integers acc, const Channels& channels, int64_t col, int64_t count) const noexcept {
    Integers result;
    if (unsure(estimate(acc, channels, result))) [[unlikely]] {
      result = exact_codes(rule_, row_, acc, col, count);
    }
    return result;
  }
  DEGREEQUANT_INLINE Integers codes(Integers acc, int64_t col, int64_t count) const noexcept {
    return codes(acc, channels(col), col, count);
  }

 private:
  alignas(64) static constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
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
  int64_t scale_mask_;  // 0 where all channels share one, as of the bias
  int64_t bias_mask_;
  float channel_factor_;  // of all channels, where they share one
  Vector row_factor_;     // that and the row's
};

}  // namespace degreequant
