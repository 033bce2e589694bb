// The codes of accumulators that may take 64 bits.
#pragma once

#include "kernels.h"

namespace degreequant {

// Of so many inputs the products of a plane of bytes, less those of a zero point, sum up within 32 bits.
constexpr int64_t kMaxPlaneInputs = INT32_MAX / (255 * 128);

// Columns [first, first + count) of the codes.
struct Columns {
  int64_t first;
  int64_t count;
};

// Stores the codes of some columns of a row, at which `rule` stands. `Simd` is what one instruction set calls its vectors: those of which
// all accumulators fit 32 bits are requantized as any other.
template <typename Simd>
[[gnu::noinline]] void store_wide(const typename Simd::Requantizer& rule, MutableCodes out, int64_t row, Columns columns,
                                  const int64_t* acc) noexcept {
  uint8_t* target = out.row(row);
  for (int64_t c = 0; c < columns.count; c += Simd::kLanes) {
    alignas(64) int32_t lanes[Simd::kLanes] = {};
    const int64_t count = columns.count - c < Simd::kLanes ? columns.count - c : Simd::kLanes;
    bool narrow = true;
    for (int64_t i = 0; i < count; ++i) {
      lanes[i] = static_cast<int32_t>(acc[c + i]);
      narrow &= lanes[i] == acc[c + i];
    }
    const int64_t col = columns.first + c;
    if (narrow) {
      Simd::store_codes(out.type, target, col, count, rule.codes(Simd::load(lanes), col, count));
      continue;
    }
    const Requantize& r = rule.rule();
    for (int64_t i = 0; i < count; ++i) lanes[i] = requantize_any(acc[c + i], r.multiplier(row, col + i), r.addend_at(col + i), r.clamp);
    Simd::store_codes(out.type, target, col, count, Simd::load(lanes));
  }
}

}  // namespace degreequant
