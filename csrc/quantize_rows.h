// Floats to codes at the speed of memory: four vectors at a time become one of bytes, in one pass that looks for NaNs and infinities as
// well. `Simd` is what one instruction set calls its vectors (quantize_<isa>.cpp).
#pragma once

#include "kernels.h"

namespace degreequant {

template <typename Simd>
class Quantizer {
 public:
  using Floats = typename Simd::Vector;
  using Integers = typename Simd::Integers;

  DEGREEQUANT_INLINE Quantizer(float inverse_scale, Clamp clamp) noexcept
      : factor_(Simd::set(inverse_scale)),
        low_(Simd::set(static_cast<float>(clamp.q_min - clamp.zero_point))),
        high_(Simd::set(static_cast<float>(clamp.q_max - clamp.zero_point))),
        minus_zero_point_(Simd::set_integer(-clamp.zero_point)) {}

  // The codes of a vector. roundf is to add the largest float below one half, away from zero, and to cut the fraction off: one half
  // itself would take 0.49999997 to 1. Clamped as floats, which hold these integers exactly: a huge product fits no integer.
  DEGREEQUANT_INLINE Integers codes(Floats x) noexcept {
    nonfinite_ = Simd::either(nonfinite_, Simd::subtract(x, x));  // 0 of a finite number, else NaN
    const Floats value = Simd::multiply(x, factor_);
    const Floats away = Simd::with_sign_of(value, 0.49999997F);
    const Floats steps = Simd::minimum(Simd::maximum(Simd::add(value, away), low_), high_);
    return Simd::subtract_integers(Simd::truncated(steps), minus_zero_point_);
  }

  // The same of four vectors, as bytes.
  DEGREEQUANT_INLINE Integers bytes(const float* x) noexcept {
    const Integers first = codes(Simd::load(x)), second = codes(Simd::load(x + Simd::kLanes));
    const Integers third = codes(Simd::load(x + 2 * Simd::kLanes)), fourth = codes(Simd::load(x + 3 * Simd::kLanes));
    return Simd::packed(first, second, third, fourth);
  }

  DEGREEQUANT_INLINE bool found_nonfinite() const noexcept { return Simd::any(nonfinite_); }

 private:
  Floats factor_;
  Floats low_;
  Floats high_;
  Integers minus_zero_point_;
  Floats nonfinite_ = Simd::set(0.0F);
};

// `count` floats of one row, or of several that follow each other without a gap.
template <typename Simd>
DEGREEQUANT_INLINE void quantize_run(Quantizer<Simd>& quantizer, const float* x, CodeType type, uint8_t* out, int64_t count) noexcept {
  constexpr int64_t kCodes = 4 * Simd::kLanes;
  int64_t i = 0;
  if (type == CodeType::i8 || type == CodeType::u8) {
    for (; i + kCodes <= count; i += kCodes) Simd::store_bytes(out + i, quantizer.bytes(x + i));
  } else if (type == CodeType::i4 || type == CodeType::u4) {
    for (; i + kCodes <= count; i += kCodes) Simd::store_nibbles(out + i / 2, quantizer.bytes(x + i));
  }
  for (; i < count; i += Simd::kLanes) {
    Simd::store_codes(type, out, i, count - i, quantizer.codes(Simd::load_some(x + i, count - i)));
  }
}

template <typename Simd>
DEGREEQUANT_INLINE bool quantize_with(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin,
                                      int64_t end) noexcept {
  Quantizer<Simd> quantizer(inverse_scale, clamp);
  const int64_t rows = out.is_gapless() ? end - begin : 1;  // at a time
  for (int64_t row = begin; row < end; row += rows) {
    quantize_run(quantizer, x + row * out.cols, out.type, out.row(row), rows * out.cols);
  }
  return !quantizer.found_nonfinite();
}

}  // namespace degreequant
