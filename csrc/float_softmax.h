// Softmax along the channels in float32, and its logarithm: where a model ends in one.
#pragma once

#include <cmath>

#include "float_math.h"

namespace degreequant {

constexpr int64_t kPowerSums = 16;  // column c of a row joins sum c % kPowerSums, and these are added in order: the same on every set

template <typename Lanes>
struct FloatRow {
  using Vector = typename Lanes::Vector;
  static constexpr float kNothing = -__builtin_inff();
  static constexpr float kOnes[kPowerSums] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

  // Calls f(vector, c) for the vectors of a row; lanes beyond the last column hold what counts nowhere.
  template <typename F>
  DEGREEQUANT_INLINE static void for_vectors(const float* x, int64_t cols, F f) noexcept {
    int64_t c = 0;
    for (; c + Lanes::kLanes <= cols; c += Lanes::kLanes) f(Lanes::load(x + c), c);
    if (c == cols) return;
    const Vector is_there = Lanes::load_some(kOnes, cols - c);
    f(Lanes::where_less(is_there, Lanes::set(1.0F), Lanes::set(kNothing), Lanes::load_some(x + c, cols - c)), c);
  }

  DEGREEQUANT_INLINE static float largest(const float* x, int64_t cols) noexcept {
    Vector most = Lanes::set(kNothing);
    for_vectors(x, cols, [&](Vector value, int64_t) DEGREEQUANT_INLINE_LAMBDA { most = Lanes::maximum(value, most); });
    alignas(64) float lanes[Lanes::kLanes];
    Lanes::store(lanes, most);
    float result = kNothing;
    for (const float lane : lanes) result = lane > result ? lane : result;
    return result;
  }

  // e^x of x <= 0; 0 where that is less than the smallest normal float.
  DEGREEQUANT_INLINE static Vector power(Vector x) noexcept {
    return Lanes::where_less(x, Lanes::set(-87.0F), Lanes::set(0.0F), FloatMath<Lanes>::exp(x));
  }

  // Stores y = x - the largest of the row; the sum of e^y.
  DEGREEQUANT_INLINE static float shift(const float* x, float* y, int64_t cols) noexcept {
    constexpr int64_t kVectors = kPowerSums / Lanes::kLanes;
    static_assert(kPowerSums % Lanes::kLanes == 0);
    const Vector most = Lanes::set(largest(x, cols));
    Vector sums[kVectors];
    for (Vector& sum : sums) sum = Lanes::set(0.0F);
    for_vectors(x, cols, [&](Vector value, int64_t c) DEGREEQUANT_INLINE_LAMBDA {
      const Vector shifted = Lanes::subtract(value, most);
      Lanes::store_some(y + c, cols - c, shifted);
      Vector& sum = sums[c / Lanes::kLanes % kVectors];
      sum = Lanes::add(sum, power(shifted));
    });
    alignas(64) float parts[kPowerSums];
    for (int64_t v = 0; v < kVectors; ++v) Lanes::store(parts + v * Lanes::kLanes, sums[v]);
    float total = 0.0F;
    for (const float part : parts) total += part;
    return total;
  }

  // y = f(y)
  template <typename F>
  DEGREEQUANT_INLINE static void change(float* y, int64_t cols, F f) noexcept {
    for_vectors(y, cols, [&](Vector value, int64_t c) DEGREEQUANT_INLINE_LAMBDA { Lanes::store_some(y + c, cols - c, f(value)); });
  }
};

template <typename Lanes>
void float_log_softmax(Floats x, MutableFloats out, int64_t begin, int64_t end) noexcept {
  using Row = FloatRow<Lanes>;
  for (int64_t row = begin; row < end; ++row) {
    float* y = out.data + row * out.cols;
    const auto log_sum = Lanes::set(std::log(Row::shift(x.data + row * x.cols, y, x.cols)));
    Row::change(y, x.cols, [&](auto value) DEGREEQUANT_INLINE_LAMBDA { return Lanes::subtract(value, log_sum); });
  }
}

template <typename Lanes>
void float_softmax(Floats x, MutableFloats out, int64_t begin, int64_t end) noexcept {
  using Row = FloatRow<Lanes>;
  for (int64_t row = begin; row < end; ++row) {
    float* y = out.data + row * out.cols;
    const auto sum = Lanes::set(Row::shift(x.data + row * x.cols, y, x.cols));
    Row::change(y, x.cols, [&](auto value) DEGREEQUANT_INLINE_LAMBDA { return Lanes::divide(Row::power(value), sum); });
  }
}

}  // namespace degreequant
