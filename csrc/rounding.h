// What quantized training does to a float32 activation in each step: rounds it to its grid, lets the gradient through, and looks for its
// percentiles. A row that is protected stays as it is. The same to the bit on every instruction set and for any number of threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace degreequant {

// Row-major float32, and the protected rows (or null).
struct Activation32 {
  const float* values;
  const bool* is_protected;
  int64_t rows;
  int64_t cols;
};

// A grid as multiples of `scale` from `low` to `high`, both integers below 2^22 in magnitude.
struct RoundingGrid {
  float inverse_scale;
  float scale;
  float low;
  float high;
  bool relu;  // round max(x, 0), to a grid that begins at 0
};

// Where a gradient passes: strictly between the bounds. In a protected row it passes everywhere, with `relu` where x > 0.
struct GradientBounds {
  float low;
  float high;
  bool relu;
};

// The grid of a row that has a scale of its own: multiples of it from `low` to `high`.
struct ChannelBounds {
  float low;
  float high;
};

struct RoundingKernels {
  void (*round)(const Activation32& x, const RoundingGrid& grid, float* out, int64_t begin, int64_t end) noexcept;
  void (*round_channels)(const Activation32& x, const float* scales, const ChannelBounds& bounds, float* out, int64_t begin,
                         int64_t end) noexcept;
  void (*pass)(const Activation32& x, const float* gradient, const GradientBounds& bounds, float* out, int64_t begin, int64_t end) noexcept;
};

// Those of an instruction set of dispatch.h, by its name.
const RoundingKernels& rounding_kernels(std::string_view isa) noexcept;

// Every `step`-th value from `start` on.
struct Sample {
  int64_t start;
  int64_t step;
};

// The values that leave `share` of those of the sample that are neither 0 nor protected outside at either end, and 0 where that is beyond
// it; with `relu`, of max(x, 0). (inf, -inf) where everything is protected; the upper end is NaN where a value is.
std::pair<float, float> sample_percentiles(const Activation32& x, Sample sample, double share, bool relu);

// Takes the range of one batch into that of all: as running extremes, or (momentum > 0) as a moving average. An end that is infinite
// changes nothing, NaN stays.
void include_range(std::pair<float, float> batch, float momentum, float* ends);

}  // namespace degreequant
