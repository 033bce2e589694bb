// The rounding rule on sixteen accumulators, for whole rows: what a row or a channel has of it is loaded or worked out once.
#pragma once

#include "estimate.h"
#include "float_lanes_avx512.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {

// Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
// go down instead, and it is not positive with its half.
DEGREEQUANT_INLINE __m512i shift_rounded(__m512i value, __m512i shift) noexcept {
  const __mmask8 is_low = _mm512_cmple_epi64_mask(value, _mm512_setzero_si512());
  return _mm512_srav_epi64(_mm512_mask_sub_epi64(value, is_low, value, _mm512_set1_epi64(1)), shift);
}

class ExactRequantizer {
 public:
  DEGREEQUANT_INLINE explicit ExactRequantizer(const Requantize& rule) noexcept
      : rule_(rule),
        kind_(rule.channel.count == 1 ? Kind::uniform
              : rule.row.count == 0   ? Kind::per_channel
                                      : Kind::combined),
        low_(_mm512_set1_epi32(rule.clamp.q_min - rule.clamp.zero_point)),
        high_(_mm512_set1_epi32(rule.clamp.q_max - rule.clamp.zero_point)),
        zero_point_(_mm512_set1_epi32(rule.clamp.zero_point)) {
    if (kind_ == Kind::uniform && rule.row.count == 0) set_uniform(bounded(rule.channel.at(0)));
  }

  // Before the first codes of each row.
  DEGREEQUANT_INLINE void start_row(int64_t row) noexcept {
    if (rule_.row.count == 0) return;
    if (kind_ == Kind::uniform) return set_uniform(rule_.multiplier(row, 0));
    const Multiplier m = rule_.row.at(row);
    row_ = {_mm512_set1_epi64(m.mantissa), _mm512_set1_epi64(m.shift - 31)};
    is_bounded_ = m.shift - 31 + rule_.prepared.shifts.low >= kAddendBits && m.shift - 31 + rule_.prepared.shifts.high <= kMaxShift;
  }

  // The codes of the first `count` of sixteen accumulators of a row's columns from `col` on, a multiple of 16.
  DEGREEQUANT_INLINE __m512i codes(__m512i acc, int64_t col, int64_t count) const noexcept {
    const __m256i low = rounded8(_mm512_castsi512_si256(acc), col, count);
    const __m256i high = rounded8(_mm512_extracti64x4_epi64(acc, 1), col + 8, count - 8);
    const __m512i steps = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    return _mm512_add_epi32(_mm512_max_epi32(_mm512_min_epi32(steps, high_), low_), zero_point_);
  }

 private:
  enum class Kind { uniform, per_channel, combined };

  DEGREEQUANT_INLINE void set_uniform(Multiplier m) noexcept {
    row_ = broadcast(m);
    places_ = _mm_cvtsi32_si128(m.shift - kAddendBits);
    half_ = _mm512_set1_epi64(int64_t{1} << (m.shift - 1));
  }

  // Rounded, as int32, of which those that do not fit are the extremes.
  DEGREEQUANT_INLINE __m256i rounded8(__m256i acc, int64_t col, int64_t count) const noexcept {
    const __m512i wide = _mm512_cvtepi32_epi64(acc);
    if (kind_ == Kind::uniform) {
      const __m512i rounding =
          rule_.prepared.bias == nullptr ? half_ : _mm512_sll_epi64(_mm512_loadu_si512(rule_.prepared.bias + col), places_);
      return shifted8(_mm512_mul_epi32(wide, row_.mantissa), rounding, row_.shift);
    }
    if (kind_ == Kind::per_channel) {
      const __m512i product = _mm512_mul_epi32(wide, _mm512_loadu_si512(rule_.prepared.mantissa + col));
      return shifted8(product, _mm512_loadu_si512(rule_.prepared.rounding + col), _mm512_loadu_si512(rule_.prepared.shift + col));
    }
    const Multiplier8 m = combined8(col, count);
    const __m512i bias =
        rule_.prepared.bias == nullptr ? _mm512_set1_epi64(1 << (kAddendBits - 1)) : _mm512_loadu_si512(rule_.prepared.bias + col);
    const __m512i rounding = _mm512_sllv_epi64(bias, _mm512_sub_epi64(m.shift, _mm512_set1_epi64(kAddendBits)));
    return shifted8(_mm512_mul_epi32(wide, m.mantissa), rounding, m.shift);
  }

  // The row's multiplier with those of eight channels, bounded.
  DEGREEQUANT_INLINE Multiplier8 combined8(int64_t col, int64_t count) const noexcept {
    const __mmask8 mask = static_cast<__mmask8>(first_lanes(count));
    const Multiplier8 channel =
        widen(_mm256_maskz_loadu_epi32(mask, rule_.channel.mantissa + col), _mm256_maskz_loadu_epi32(mask, rule_.channel.shift + col));
    const __m512i product = _mm512_add_epi64(_mm512_mul_epi32(row_.mantissa, channel.mantissa), _mm512_set1_epi64(1 << 30));
    const Multiplier8 m = {shift_rounded(product, _mm512_set1_epi64(31)), _mm512_add_epi64(row_.shift, channel.shift)};
    return is_bounded_ ? m : bounded(m);
  }

  DEGREEQUANT_INLINE static __m256i shifted8(__m512i product, __m512i rounding, __m512i shift) noexcept {
    return _mm512_cvtsepi64_epi32(shift_rounded(_mm512_add_epi64(product, rounding), shift));
  }

  Requantize rule_;
  Kind kind_;
  bool is_bounded_ = false;
  Multiplier8 row_;  // for all channels; with a multiplier for each channel that of the row, its shift less 31
  __m128i places_;   // shift - kAddendBits
  __m512i half_;
  __m512i low_;
  __m512i high_;
  __m512i zero_point_;
};

struct EstimateLanes : FloatLanes {
  using Integers = __m512i;

  DEGREEQUANT_INLINE static Integers set_integer(int32_t value) noexcept { return _mm512_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector to_floats(Integers v) noexcept { return _mm512_cvtepi32_ps(v); }
  DEGREEQUANT_INLINE static Integers bits(Vector v) noexcept { return _mm512_castps_si512(v); }
  DEGREEQUANT_INLINE static Vector as_floats(Integers v) noexcept { return _mm512_castsi512_ps(v); }
  DEGREEQUANT_INLINE static Integers subtract_integers(Integers a, Integers b) noexcept { return _mm512_sub_epi32(a, b); }
  // Of b the magnitude; a is one.
  DEGREEQUANT_INLINE static Vector larger_magnitude(Vector a, Vector b) noexcept { return _mm512_range_ps(a, b, 0xb); }
  // The lanes whose magnitude is above the limit, a bit each.
  DEGREEQUANT_INLINE static uint32_t lanes_beyond(Vector v, Vector limit) noexcept {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), limit, _CMP_GT_OQ);
  }
};

using Requantizer = EstimatingRequantizer<ExactRequantizer, EstimateLanes>;

}  // namespace degreequant::avx512
