#include <bit>
#include <cmath>
#include <limits>

#include "steps.h"

namespace degreequant {
namespace {

constexpr float kLeastExponent = -87.3F;  // below, the power is taken for 0: it is less than the smallest normal float

// e^x for x <= 0, to about an ulp. Plain arithmetic in a fixed order, so that it is the same wherever it runs, and that a compiler can do
// many at once: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r, and n added to the exponent.
inline float power(float x) noexcept {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
  const float limited = x < kLeastExponent ? kLeastExponent : x;
  const float shifted = limited * 1.44269504F + kShift;
  const float n = shifted - kShift;
  const float r = (limited - n * 0.693359375F) + n * 2.12194440e-4F;
  float series = 1.9875691500e-4F;
  series = series * r + 1.3981999507e-3F;
  series = series * r + 8.3334519073e-3F;
  series = series * r + 4.1665795894e-2F;
  series = series * r + 1.6666665459e-1F;
  series = series * r + 5.0000001201e-1F;
  series = series * r * r + r + 1.0F;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kShift)) << 23;
  const float result = std::bit_cast<float>(std::bit_cast<int32_t>(series) + exponent);
  return x < kLeastExponent ? 0.0F : result;
}

// Sums in so many parts, column by column in turn: a fixed order that a compiler can vectorise.
constexpr int64_t kLanes = 16;

// y = x - the row's largest.
void subtract_largest(const float* x, float* y, int64_t cols) noexcept {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t c = 0; c < cols; ++c) largest = x[c] > largest ? x[c] : largest;
  for (int64_t c = 0; c < cols; ++c) y[c] = x[c] - largest;
}

// The sum of e^y over a row.
float sum_of_powers(const float* y, int64_t cols) noexcept {
  float lanes[kLanes] = {};
  int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += power(y[c + lane]);
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; c < cols; ++c) sum += power(y[c]);
  return sum;
}

void log_softmax_row(const float* x, float* y, int64_t cols) noexcept {
  subtract_largest(x, y, cols);
  const float log_sum = std::log(sum_of_powers(y, cols));
  for (int64_t c = 0; c < cols; ++c) y[c] -= log_sum;
}

void softmax_row(const float* x, float* y, int64_t cols) noexcept {
  subtract_largest(x, y, cols);
  const float sum = sum_of_powers(y, cols);
  for (int64_t c = 0; c < cols; ++c) y[c] = power(y[c]) / sum;
}

void sigmoid_row(const float* x, float* y, int64_t cols) noexcept {
  for (int64_t c = 0; c < cols; ++c) {
    const float small = power(x[c] < 0 ? x[c] : -x[c]);
    y[c] = (x[c] >= 0 ? 1.0F : small) / (1.0F + small);
  }
}

using RowFunction = void (*)(const float* x, float* y, int64_t cols) noexcept;

class EpilogueStep final : public Step {
 public:
  EpilogueStep(RowFunction function, TensorId x, int64_t cols, TensorId y) : function_(function), x_(x), cols_(cols), y_(y) {}

  void run(const Frame& frame, int64_t begin, int64_t end) const noexcept override {
    for (int64_t i = begin; i < end; ++i) {
      function_(frame.values<float>(x_) + i * cols_, frame.mutable_values<float>(y_) + i * cols_, cols_);
    }
  }

 private:
  RowFunction function_;
  TensorId x_;
  int64_t cols_;
  TensorId y_;
};

}  // namespace

StepPtr log_softmax_step(TensorId x, int64_t cols, TensorId y) { return std::make_unique<EpilogueStep>(log_softmax_row, x, cols, y); }

StepPtr softmax_step(TensorId x, int64_t cols, TensorId y) { return std::make_unique<EpilogueStep>(softmax_row, x, cols, y); }

StepPtr sigmoid_step(TensorId x, int64_t cols, TensorId y) { return std::make_unique<EpilogueStep>(sigmoid_row, x, cols, y); }

}  // namespace degreequant
