// The loops of rounding.h, in portable code that each instruction set's file compiles for itself.
#pragma once

#include <cstdint>

#include "rounding.h"

namespace degreequant {
namespace {  // one copy for each file, compiled with its flags

// Added and taken away, it rounds a float below 2^22 in magnitude to an integer, ties to even.
constexpr float kToInteger = 0x1.8p23F;

// The order of the comparisons lets a NaN through.
inline float not_below(float value, float low) noexcept { return value < low ? low : value; }
inline float not_above(float value, float high) noexcept { return value > high ? high : value; }

// The multiples of `scale` from `low` to `high` that are nearest to `count` values.
inline void round_values(const float* source, int64_t count, const RoundingGrid& g, float* target) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    const float steps = not_above(not_below(source[i] * g.inverse_scale, g.low), g.high);
    target[i] = ((steps + kToInteger) - kToInteger) * g.scale;
  }
}

void round(const Activation32& x, const RoundingGrid& grid, float* out, int64_t begin, int64_t end) noexcept {
  const RoundingGrid g = grid;
  for (int64_t row = begin; row < end; ++row) {
    const float* source = x.values + row * x.cols;
    float* target = out + row * x.cols;
    if (x.is_protected == nullptr || !x.is_protected[row]) {
      round_values(source, x.cols, g, target);
    } else if (g.relu) {
      for (int64_t c = 0; c < x.cols; ++c) target[c] = not_below(source[c], 0.0F);
    } else {
      for (int64_t c = 0; c < x.cols; ++c) target[c] = source[c];
    }
  }
}

void round_channels(const Activation32& x, const float* scales, const ChannelBounds& bounds, float* out, int64_t begin,
                    int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    const RoundingGrid grid = {1.0F / scales[row], scales[row], bounds.low, bounds.high, false};
    round_values(x.values + row * x.cols, x.cols, grid, out + row * x.cols);
  }
}

void pass(const Activation32& x, const float* gradient, const GradientBounds& bounds, float* out, int64_t begin, int64_t end) noexcept {
  const GradientBounds b = bounds;
  for (int64_t row = begin; row < end; ++row) {
    const float* source = x.values + row * x.cols;
    const float* arriving = gradient + row * x.cols;
    float* target = out + row * x.cols;
    if (x.is_protected == nullptr || !x.is_protected[row]) {
      for (int64_t c = 0; c < x.cols; ++c) target[c] = source[c] > b.low && source[c] < b.high ? arriving[c] : 0.0F;
    } else if (b.relu) {
      for (int64_t c = 0; c < x.cols; ++c) target[c] = source[c] > 0.0F ? arriving[c] : 0.0F;
    } else {
      for (int64_t c = 0; c < x.cols; ++c) target[c] = arriving[c];
    }
  }
}

}  // namespace
}  // namespace degreequant
