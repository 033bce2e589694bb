// From the sums of a row's codes, times their weights, to the codes of attention.
#pragma once

#include "attending.h"

namespace degreequant {

// 1 / the sums of the row's weights, with the multiplier of all channels where there is one.
template <typename Simd>
DEGREEQUANT_INLINE void invert_sums(Attending<Simd>& a) noexcept {
  a.softmax.invert();
  if (!a.is_uniform) return;
  const Multiplier m = a.rule.channel.at(0);
  a.softmax.for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
    int32_t *mantissa = a.softmax.mantissa + h, *shift = a.softmax.shift + h;
    const auto both = Simd::combined(Simd::load(mantissa), Simd::load(shift), Simd::set(m.mantissa), Simd::set(m.shift), a.rule.limits);
    Simd::store_multipliers(both, mantissa, shift);
  });
}

// Whether the multipliers of the row's heads, with those of the channels where these have their own, are such as can be estimated.
template <typename Simd>
DEGREEQUANT_INLINE bool is_near(const Attending<Simd>& a) noexcept {
  const ChannelRule& rule = a.rule.prepared;
  if (a.is_uniform) return rule.estimate.possible;
  bool near = rule.estimate.combines;
  for (int64_t h = 0; h < a.softmax.heads(); ++h) {
    const int32_t shift = a.softmax.shift[h] - 31;
    near &= a.softmax.mantissa[h] == 0 || (shift + rule.shifts.low >= kAddendBits && shift + rule.shifts.high <= kMaxEstimateShift);
  }
  return near;
}

// Makes floats of the multipliers of the row's heads.
template <typename Simd>
DEGREEQUANT_INLINE void prepare_estimates(Attending<Simd>& a) noexcept {
  using Estimates = typename Simd::Estimates;
  a.rounder.trust(is_near(a), a.rule.prepared.estimate.margin);
  a.softmax.for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
    const auto exponent = Simd::subtract(Simd::set(0), Simd::load(a.softmax.shift + h));
    const auto power = Estimates::times_power(Estimates::set(1.0F), Estimates::as_floats(exponent));
    const auto factor = Estimates::multiply(Estimates::to_floats(Simd::load(a.softmax.mantissa + h)), power);
    Simd::store(a.factors + h, Estimates::bits(factor));
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void prepare_multipliers(Attending<Simd>& a) noexcept {
  invert_sums(a);
  if (!a.attention.average) prepare_estimates(a);
}

// The multipliers of a vector of columns; `channel` of the piece's are theirs.
template <typename Simd, typename Channels>
DEGREEQUANT_INLINE auto multipliers_of(const Attending<Simd>& a, int64_t vector, Channels of_channels) noexcept {
  const auto mantissa = a.ordered.pick(a.softmax.mantissa, vector);
  const auto shift = a.ordered.pick(a.softmax.shift, vector);
  if (a.is_uniform) return Simd::multipliers(mantissa, shift);
  return Simd::combined(mantissa, shift, of_channels(a.rule.channel.mantissa), of_channels(a.rule.channel.shift), a.rule.limits);
}

// The codes of a vector of sums by the rule.
template <typename Simd>
[[gnu::noinline]] typename Simd::Vector exact_codes(const Attending<Simd>& a, int64_t vector, typename Simd::Vector sums, int64_t col,
                                                    int64_t count) noexcept {
  const auto multipliers =
      multipliers_of(a, vector, [&](const int32_t* values) DEGREEQUANT_INLINE_LAMBDA { return Simd::load_some(values + col, count); });
  return Simd::codes_with(sums, multipliers, a.rule, col, count);
}

// Stores the codes of a piece's sums, the heads side by side.
template <typename Simd>
DEGREEQUANT_INLINE void store_side_by_side(const Attending<Simd>& a) noexcept {
  using Estimates = typename Simd::Estimates;
  const auto rounder = a.rounder;  // which no store can change, as what follows
  const EstimateRule rule = a.rule.prepared.estimate;
  const bool is_uniform = a.is_uniform, has_addend = a.rule.addend != nullptr;
  const int64_t first = a.first_column(), columns = a.piece.columns();
  const CodeType type = a.out.type;
  uint8_t* target = a.target;
  for (int64_t at = 0; at < columns; at += Simd::kLanes) {
    const int64_t vector = at / Simd::kLanes, col = first + at, count = columns - at;
    auto factor = Estimates::as_floats(a.ordered.pick(a.factors, vector));
    if (!is_uniform) factor = Estimates::multiply(factor, Estimates::load_some(rule.scale + col, count));
    const auto bias = has_addend ? Estimates::load_some(rule.bias + col, count) : Estimates::load(rule.bias);
    const auto sums = Simd::load(a.sums + at);
    typename Simd::Vector codes;
    if (rounder.unsure(rounder.round(Estimates::fma(Estimates::to_floats(sums), factor, bias), codes))) [[unlikely]] {
      codes = exact_codes(a, vector, sums, col, count);
    }
    Simd::store_codes(type, target, col, count, codes);
  }
}

// Stores the codes of a vector of sums by the rule, the heads side by side, or adds its shares to those of its channels.
template <typename Simd>
DEGREEQUANT_INLINE void take(Attending<Simd>& a, int64_t vector, typename Simd::Vector sums) noexcept {
  const int64_t at = vector * Simd::kLanes;
  const int64_t count = a.piece.columns() - at;
  if (!a.attention.average) {
    const int64_t col = a.first_column() + at;
    Simd::store_codes(a.out.type, a.target, col, count, exact_codes(a, vector, sums, col, count));
    return;
  }
  const auto channel = Simd::load(a.channel + at);
  const auto multipliers = multipliers_of(a, vector, [&](const int32_t* values) DEGREEQUANT_INLINE_LAMBDA {
    return Simd::look_up(values + a.piece.channel, Simd::keep(channel, count, Simd::set(0)));
  });
  alignas(64) int64_t shares[Simd::kLanes];
  Simd::store_shares(shares, sums, multipliers, a.rule.limits.least);
  for (int64_t i = 0; i < Simd::kLanes && i < count; ++i) a.shares[a.channel[at + i]] += shares[i];
}

// The same for sums that take 64 bits.
template <typename Simd>
[[gnu::noinline]] void take_wide(Attending<Simd>& a, int64_t vector) noexcept {
  const int64_t at = vector * Simd::kLanes;
  const int64_t count = a.piece.columns() - at < Simd::kLanes ? a.piece.columns() - at : Simd::kLanes;
  const int64_t col = a.first_column() + at;
  alignas(64) int32_t codes[Simd::kLanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = a.head[at + i];
    const int64_t rule_col = a.attention.average ? a.piece.channel + a.channel[at + i] : col + i;
    Multiplier m = {a.softmax.mantissa[head], a.softmax.shift[head]};
    if (!a.is_uniform) m = bounded(combine(m, a.rule.channel.at(rule_col)), a.rule.limits);
    if (a.attention.average) {
      a.shares[a.channel[at + i]] += share_of(a.wide[at + i], m, a.rule.limits.least);
    } else {
      codes[i] = requantize_any(a.wide[at + i], m, a.rule.addend_at(rule_col), a.rule.clamp);
    }
  }
  if (!a.attention.average) Simd::store_codes(a.out.type, a.target, col, count, Simd::load(codes));
}

// What `wide` holds, in 32 bits where it fits.
template <typename Simd>
DEGREEQUANT_INLINE void take_carried(Attending<Simd>& a) noexcept {
  for (int64_t vector = 0; vector * Simd::kLanes < a.piece.columns(); ++vector) {
    const int64_t* wide = a.wide + vector * Simd::kLanes;
    alignas(64) int32_t sums[Simd::kLanes];
    bool is_narrow = true;
    for (int64_t i = 0; i < Simd::kLanes; ++i) {
      sums[i] = static_cast<int32_t>(wide[i]);
      is_narrow &= sums[i] == wide[i];
    }
    if (is_narrow) {
      take(a, vector, Simd::load(sums));
    } else {
      take_wide(a, vector);
    }
  }
}

// Stores the codes of the shares of `count` channels.
template <typename Simd>
DEGREEQUANT_INLINE void store_mean(const Attending<Simd>& a, int64_t first, int64_t count) noexcept {
  alignas(64) int32_t codes[Simd::kLanes] = {};
  for (int64_t i = 0; i < count; i += Simd::kLanes) {
    for (int64_t k = 0; k < Simd::kLanes && i + k < count; ++k) {
      codes[k] = code_of_shares(a.shares[i + k], a.rule.addend_at(first + i + k), a.rule.clamp);
    }
    Simd::store_codes(a.out.type, a.target, first + i, count - i, Simd::load(codes));
  }
}

}  // namespace degreequant
