// The rounding rule on eight accumulators, for whole rows: what a row or a channel has of it is loaded or worked out once.
#pragma once

#include "estimate.h"
#include "float_lanes_avx2.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {

// Rounds half away from zero and shifts, of values that hold their half already. Adding the half rounds ties up; only a negative tie must
// go down instead, and it is not positive with its half. The arithmetic shift is one of value + 2^63, from which 2^63 is taken back.
DEGREEQUANT_INLINE __m256i shift_rounded(__m256i value, __m256i shift) noexcept {
  const __m256i is_high = _mm256_cmpgt_epi64(value, _mm256_setzero_si256());  // -1
  const __m256i raised = _mm256_add_epi64(_mm256_sub_epi64(value, is_high), _mm256_set1_epi64x(INT64_MAX));
  return _mm256_sub_epi64(_mm256_srlv_epi64(raised, shift), _mm256_srlv_epi64(_mm256_set1_epi64x(INT64_MIN), shift));
}

class ExactRequantizer {
 public:
  DEGREEQUANT_INLINE explicit ExactRequantizer(const Requantize& rule) noexcept
      : rule_(rule),
        kind_(rule.channel.count == 1 ? Kind::uniform
              : rule.row.count == 0   ? Kind::per_channel
                                      : Kind::combined) {
    if (kind_ == Kind::uniform && rule.row.count == 0) set_uniform(bounded(rule.channel.at(0)));
  }

  // Before the first codes of each row.
  DEGREEQUANT_INLINE void start_row(int64_t row) noexcept {
    if (rule_.row.count == 0) return;
    if (kind_ == Kind::uniform) return set_uniform(rule_.multiplier(row, 0));
    const Multiplier m = rule_.row.at(row);
    mantissa_ = _mm256_set1_epi64x(m.mantissa);
    row_shift_ = m.shift - 31;
    is_bounded_ = row_shift_ + rule_.prepared.shifts.low >= kAddendBits && row_shift_ + rule_.prepared.shifts.high <= kMaxShift;
  }

  // The codes of the first `count` of eight accumulators of a row's columns from `col` on, a multiple of 8.
  DEGREEQUANT_INLINE __m256i codes(__m256i acc, int64_t col, int64_t count) const noexcept {
    return join8(codes4(_mm256_castsi256_si128(acc), col, count), codes4(_mm256_extracti128_si256(acc, 1), col + 4, count - 4));
  }

 private:
  enum class Kind { uniform, per_channel, combined };

  DEGREEQUANT_INLINE static __m256i load(const int64_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

  DEGREEQUANT_INLINE void set_uniform(Multiplier m) noexcept {
    mantissa_ = _mm256_set1_epi64x(m.mantissa);
    shift_ = _mm256_set1_epi64x(m.shift);
    places_ = _mm_cvtsi32_si128(m.shift - kAddendBits);
    half_ = _mm256_set1_epi64x(int64_t{1} << (m.shift - 1));
  }

  DEGREEQUANT_INLINE __m256i codes4(__m128i acc, int64_t col, int64_t count) const noexcept {
    const __m256i steps = rounded4(_mm256_cvtepi32_epi64(acc), col, count);
    const Clamp clamp = rule_.clamp;
    return limit_to(_mm256_add_epi64(steps, _mm256_set1_epi64x(clamp.zero_point)), clamp.q_min, clamp.q_max);
  }

  DEGREEQUANT_INLINE __m256i rounded4(__m256i acc, int64_t col, int64_t count) const noexcept {
    if (kind_ == Kind::uniform) {
      const __m256i rounding = rule_.prepared.bias == nullptr ? half_ : _mm256_sll_epi64(load(rule_.prepared.bias + col), places_);
      return shift_rounded(_mm256_add_epi64(_mm256_mul_epi32(acc, mantissa_), rounding), shift_);
    }
    if (kind_ == Kind::per_channel) {
      const __m256i product = _mm256_mul_epi32(acc, load(rule_.prepared.mantissa + col));
      return shift_rounded(_mm256_add_epi64(product, load(rule_.prepared.rounding + col)), load(rule_.prepared.shift + col));
    }
    const Multiplier4 m = combined4(col, count);
    const __m256i bias = rule_.prepared.bias == nullptr ? _mm256_set1_epi64x(1 << (kAddendBits - 1)) : load(rule_.prepared.bias + col);
    const __m256i shift = _mm256_cvtepi32_epi64(m.shift);
    const __m256i rounding = _mm256_sllv_epi64(bias, _mm256_sub_epi64(shift, _mm256_set1_epi64x(kAddendBits)));
    return shift_rounded(_mm256_add_epi64(_mm256_mul_epi32(acc, m.mantissa), rounding), shift);
  }

  // The row's multiplier with those of four channels, bounded.
  DEGREEQUANT_INLINE Multiplier4 combined4(int64_t col, int64_t count) const noexcept {
    const __m128i mask = _mm256_castsi256_si128(first_lanes(count));
    const __m256i mantissa = _mm256_cvtepi32_epi64(_mm_maskload_epi32(rule_.channel.mantissa + col, mask));
    const __m128i shift = _mm_maskload_epi32(rule_.channel.shift + col, mask);
    const __m256i product = _mm256_add_epi64(_mm256_mul_epi32(mantissa_, mantissa), _mm256_set1_epi64x(1 << 30));
    const Multiplier4 m = {shift_rounded(product, _mm256_set1_epi64x(31)), _mm_add_epi32(shift, _mm_set1_epi32(row_shift_))};
    return is_bounded_ ? m : bounded(m);
  }

  Requantize rule_;
  Kind kind_;
  bool is_bounded_ = false;
  int32_t row_shift_ = 0;                      // of the row's multiplier, less 31, where channels have their own
  __m256i mantissa_ = _mm256_setzero_si256();  // of all channels, or of the row
  __m256i shift_ = _mm256_setzero_si256();     // of all channels
  __m256i half_ = _mm256_setzero_si256();      // half a unit of it
  __m128i places_ = _mm_setzero_si128();       // shift - kAddendBits
};

struct EstimateLanes : FloatLanes {
  using Integers = __m256i;

  DEGREEQUANT_INLINE static Integers set_integer(int32_t value) noexcept { return _mm256_set1_epi32(value); }
  DEGREEQUANT_INLINE static Vector to_floats(Integers v) noexcept { return _mm256_cvtepi32_ps(v); }
  DEGREEQUANT_INLINE static Integers bits(Vector v) noexcept { return _mm256_castps_si256(v); }
  DEGREEQUANT_INLINE static Vector as_floats(Integers v) noexcept { return _mm256_castsi256_ps(v); }
  DEGREEQUANT_INLINE static Integers subtract_integers(Integers a, Integers b) noexcept { return _mm256_sub_epi32(a, b); }
  DEGREEQUANT_INLINE static Vector magnitude(Vector v) noexcept { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), v); }
  // Of b the magnitude; a is one.
  DEGREEQUANT_INLINE static Vector larger_magnitude(Vector a, Vector b) noexcept { return _mm256_max_ps(a, magnitude(b)); }
  // The lanes whose magnitude is above the limit, a bit each.
  DEGREEQUANT_INLINE static uint32_t lanes_beyond(Vector v, Vector limit) noexcept {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(magnitude(v), limit, _CMP_GT_OQ)));
  }
};

using Requantizer = EstimatingRequantizer<ExactRequantizer, EstimateLanes>;

}  // namespace degreequant::avx2
