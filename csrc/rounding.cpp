#include "rounding.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "rounding_rows.h"

namespace degreequant {

#if defined(DEGREEQUANT_X86)
namespace avx2 {
extern const RoundingKernels rounding;
}
namespace avx512 {
extern const RoundingKernels rounding;
}
#endif

namespace {

constexpr RoundingKernels kPortable = {.round = round, .round_channels = round_channels, .pass = pass};

// The rows of the elements of a sample, without a division for each.
class Places {
 public:
  Places(const Activation32& x, Sample sample)
      : cols_(std::max<int64_t>(1, x.cols)),
        rows_a_step_(sample.step / cols_),
        cols_a_step_(sample.step % cols_),
        row_(sample.start / cols_),
        col_(sample.start % cols_) {}

  int64_t row() const { return row_; }

  void step() {
    row_ += rows_a_step_;
    col_ += cols_a_step_;
    if (col_ >= cols_) {
      col_ -= cols_;
      ++row_;
    }
  }

 private:
  int64_t cols_;
  int64_t rows_a_step_;
  int64_t cols_a_step_;
  int64_t row_;
  int64_t col_;
};

// The largest of the positive values that it is given, so many at most.
class Largest {
 public:
  explicit Largest(size_t most) : most_(most) { kept_.reserve(most); }

  // Almost no value is among the largest: the comparison is all there is to most of them.
  void take(float value) {
    if (value > least_) insert(value);
  }

  // The value that `beyond` others, fewer than the most, are above; 0 where there are no more than these.
  float place(size_t beyond) {
    if (kept_.size() <= beyond) return 0.0F;
    const auto place = kept_.begin() + static_cast<std::ptrdiff_t>(beyond);
    std::nth_element(kept_.begin(), place, kept_.end(), std::greater<float>());
    return *place;
  }

 private:
  void insert(float value) {
    if (kept_.size() == most_) {
      std::pop_heap(kept_.begin(), kept_.end(), std::greater<float>());
      kept_.pop_back();
    }
    kept_.push_back(value);
    std::push_heap(kept_.begin(), kept_.end(), std::greater<float>());
    if (kept_.size() == most_) least_ = kept_.front();
  }

  size_t most_;
  float least_ = 0.0F;       // only values above it are among the largest
  std::vector<float> kept_;  // a heap, its least value in front
};

}  // namespace

const RoundingKernels& rounding_kernels([[maybe_unused]] std::string_view isa) noexcept {
#if defined(DEGREEQUANT_X86)
  if (isa == "avx2") return avx2::rounding;
  if (isa == "avx512") return avx512::rounding;
#endif
  return kPortable;
}

std::pair<float, float> sample_percentiles(const Activation32& x, Sample sample, double share, bool relu) {
  const int64_t count = x.rows * x.cols;
  const int64_t sampled = count > sample.start ? (count - sample.start - 1) / sample.step + 1 : 0;
  const size_t most = static_cast<size_t>(static_cast<double>(sampled) * share) + 1;
  Largest above(most);
  Largest below(most);  // magnitudes
  int64_t seen = 0;
  int64_t nonzero = 0;
  bool seen_nan = false;
  Places places(x, sample);
  for (int64_t i = sample.start; i < count; i += sample.step, places.step()) {
    if (x.is_protected != nullptr && x.is_protected[places.row()]) continue;
    const float value = relu && x.values[i] < 0.0F ? 0.0F : x.values[i];
    ++seen;
    const bool is_nan = std::isnan(value);
    nonzero += value != 0.0F && !is_nan;
    seen_nan |= is_nan;
    above.take(value);
    below.take(-value);
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (seen == 0) return {kInfinity, -kInfinity};
  const size_t beyond = static_cast<size_t>(static_cast<double>(nonzero) * share);
  const float low = 0.0F - below.place(beyond);
  const float high = above.place(beyond);
  return {low, seen_nan ? std::numeric_limits<float>::quiet_NaN() : high};
}

void include_range(std::pair<float, float> batch, float momentum, float* ends) {
  const auto moved = [&](float past, float now, bool is_outside) {
    if (momentum == 0.0F) return is_outside || std::isnan(now) ? now : past;
    if (std::isinf(past)) return now;
    return momentum < 0.5F ? std::fma(momentum, now - past, past) : std::fma(momentum - 1.0F, now - past, now);
  };
  if (!std::isinf(batch.first)) ends[0] = moved(ends[0], batch.first, batch.first < ends[0]);
  if (!std::isinf(batch.second)) ends[1] = moved(ends[1], batch.second, batch.second > ends[1]);
}

}  // namespace degreequant
