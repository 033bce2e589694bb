#include "rule.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "estimate.h"

namespace degreequant {
namespace {

size_t padded(size_t channels) { return (channels + kWeightBlock - 1) / kWeightBlock * kWeightBlock; }

}  // namespace

ShiftLimits limits_of(Clamp clamp, const int32_t* addends, size_t count) noexcept {
  int32_t largest = 0;
  for (size_t i = 0; addends != nullptr && i < count; ++i) largest = std::max(largest, std::abs(addends[i]));
  return shift_limits(clamp, largest);
}

Rule::Rule(std::vector<int32_t> mantissas, std::vector<int32_t> shifts, std::vector<int32_t> addends, bool with_addend, Clamp limits)
    : mantissa(std::move(mantissas)),
      shift(std::move(shifts)),
      addend(std::move(addends)),
      has_addend(with_addend),
      clamp(limits),
      limits_(limits_of(clamp, addend.data(), addend.size())),
      bias_(has_addend ? padded(addend.size()) : 0) {
  std::transform(addend.begin(), addend.end(), bias_.begin(), [this](int32_t value) { return value + half(); });
  if (shift.empty()) return;
  const auto [least, most] = std::minmax_element(shift.begin(), shift.end());
  shifts_ = {*least, *most};
  if (mantissa.size() > 1) prepare_channels();
  prepare_estimate();
}

int64_t Rule::half() const noexcept { return int64_t{1} << (limits_.least - 1); }

void Rule::prepare_channels() {
  const size_t size = padded(mantissa.size());
  bounded_mantissa_.assign(size, 0);
  bounded_shift_.assign(size, limits_.least);
  rounding_.assign(size, 0);
  for (size_t c = 0; c < mantissa.size(); ++c) {
    const Multiplier m = bounded({mantissa[c], shift[c]}, limits_);
    bounded_mantissa_[c] = m.mantissa;
    bounded_shift_[c] = m.shift;
    rounding_[c] = (has_addend && c < addend.size() ? bias_[c] : half()) * (int64_t{1} << (m.shift - limits_.least));
  }
}

void Rule::prepare_estimate() {
  scales_.assign(bounded_mantissa_.size(), 0.0F);
  for (size_t c = 0; c < scales_.size(); ++c) {
    scales_[c] = static_cast<float>(std::ldexp(static_cast<double>(bounded_mantissa_[c]), static_cast<int>(-bounded_shift_[c])));
  }
  const auto value_of = [this](int32_t units) { return std::ldexp(static_cast<double>(units), -limits_.least); };
  double largest = 0;
  for (const int32_t units : addend) largest = std::max(largest, std::abs(value_of(units)));
  const double error = EstimatePlace::error_of(largest_value(clamp) + largest, largest + largest_shift(clamp));
  const EstimatePlace place(clamp, error);
  addends_.assign(has_addend ? bias_.size() : kWeightBlock, static_cast<float>(place.shift()));
  for (size_t c = 0; has_addend && c < addend.size(); ++c) addends_[c] = static_cast<float>(value_of(addend[c]) + place.shift());
  const bool normal = std::all_of(mantissa.begin(), mantissa.end(), [](int32_t m) { return m >= kNormal || m <= -kNormal; });
  estimate_.margin = place.margin();
  estimate_.possible = place.possible();
  estimate_.combines = estimate_.possible && normal && shifts_.low >= limits_.least && shifts_.high <= limits_.most;
}

Requantize Rule::view(Multipliers row) const noexcept {
  const Multipliers channel = {mantissa.data(), shift.data(), static_cast<int64_t>(mantissa.size())};
  const bool many = !bounded_mantissa_.empty();
  EstimateRule estimate = estimate_;
  estimate.scale = many ? scales_.data() : nullptr;
  estimate.bias = addends_.data();
  const ChannelRule prepared = {has_addend ? bias_.data() : nullptr,
                                many ? bounded_mantissa_.data() : nullptr,
                                many ? bounded_shift_.data() : nullptr,
                                many ? rounding_.data() : nullptr,
                                shifts_,
                                estimate};
  return {channel, row, has_addend ? addend.data() : nullptr, clamp, limits_, prepared};
}

}  // namespace degreequant
