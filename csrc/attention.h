// The steps of "attend" (docs/numerics.md) that its plain loops and its vectorised kernels share.
#pragma once

#include "from_real.h"
#include "kernels.h"

namespace degreequant {

constexpr int64_t kMaxShare = int64_t{1} << 40;

// The logit of edge `edge` into `row`, before the LeakyReLU.
DEGREEQUANT_INLINE int32_t raw_logit(const Attention& a, int64_t row, int64_t edge, int64_t head) noexcept {
  const auto at = [](Codes logits, int64_t i, int64_t col) DEGREEQUANT_INLINE_LAMBDA { return static_cast<int8_t>(logits.row(i)[col]); };
  const int32_t ends = at(a.logits, a.csr.indices[edge], head) + at(a.logits, row, a.heads + head);
  return a.edge_logits.data == nullptr ? ends : ends + at(a.edge_logits, edge, head);
}

DEGREEQUANT_INLINE int32_t leaky_relu(int32_t logit, int32_t slope) noexcept { return logit >= 0 ? logit : round_shift(logit * slope, 15); }

// 1 / den; 0 for a row without edges.
DEGREEQUANT_INLINE Multiplier reciprocal(int64_t den) noexcept {
  return den == 0 ? Multiplier{0, 0} : from_real(1.0 / static_cast<double>(den));
}

// One head's part of a mean over heads, in the unit of an addend of so many bits; m is bounded.
DEGREEQUANT_INLINE int64_t share_of(int64_t num, Multiplier m, int32_t bits) noexcept {
  const int128_t share = round_shift(static_cast<int128_t>(num) * m.mantissa, m.shift - bits);
  return static_cast<int64_t>(share > kMaxShare ? kMaxShare : share < -kMaxShare ? -kMaxShare : share);
}

// The code of the heads' shares, summed.
DEGREEQUANT_INLINE int32_t code_of_shares(int64_t sum, int32_t addend, Clamp clamp) noexcept {
  return clamp_code(round_shift(sum + addend, addend_bits(clamp)), clamp);
}

}  // namespace degreequant
