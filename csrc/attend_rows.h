// Attention, vectorised: the weights of a row's edges are computed once for each block of columns, then summed with the codes as a sum over
// neighbours is, each lane with the weight of its head. `Simd` is what one instruction set calls its vectors (attend_<isa>.cpp).
#pragma once

#include "gather.h"
#include "kernels_reference.h"
#include "softmax.h"

namespace degreequant {

constexpr int64_t kMaxHeadChannels = 1 << 16;  // what HeadLanes divides by exactly

struct AttentionRows {
  Attention attention;
  Requantize rule;
  MutableCodes out;
  int64_t out_stride;  // in bytes
  Prefetcher prefetcher;
  float inverse_channels;
  Softmax softmax;
  int64_t wide[kBlockColumns];    // sums of a block over a row of several chunks
  int64_t shares[kBlockColumns];  // of the mean over heads

  DEGREEQUANT_INLINE AttentionRows(const Attention& attention, const Requantize& rule, MutableCodes out, int64_t end) noexcept
      : attention(attention),
        rule(rule),
        out(out),
        out_stride(row_bytes(out.type, out.cols)),
        prefetcher(attention.csr, end),
        inverse_channels(1.0F / static_cast<float>(attention.channels())),
        softmax{},
        wide{},
        shares{} {}
};

// The heads of a vector's lanes: lane i holds column position + step * i, counted from the first column of the block's first head.
template <typename Simd>
struct HeadLanes {
  using Vector = typename Simd::Vector;
  int64_t first;   // head of lane 0, counted from the block's first
  Vector heads;    // of the lanes, counted from there too
  Vector columns;  // of the lanes

  DEGREEQUANT_INLINE HeadLanes(const AttentionRows& a, int32_t position, int32_t step) noexcept {
    columns = Simd::sequence(position, step);
    heads = Simd::quotients(columns, a.inverse_channels);
    first = Simd::first_lane(heads);
    index_ = Simd::subtract(heads, Simd::set(static_cast<int32_t>(first)));
  }
  HeadLanes() = default;

  // What each lane's head has among values of the block's heads.
  DEGREEQUANT_INLINE Vector pick(const int32_t* values) const noexcept { return Simd::permute(Simd::load(values + first), index_); }

 private:
  Vector index_;
};

template <typename Simd>
DEGREEQUANT_INLINE typename Simd::Multipliers multipliers_of(const AttentionRows& a, const HeadLanes<Simd>& lanes,
                                                             typename Simd::Vector mantissa, typename Simd::Vector shift) noexcept {
  return Simd::combined(lanes.pick(a.softmax.mantissa), lanes.pick(a.softmax.shift), mantissa, shift);
}

// What becomes of a block's sums: codes, the heads side by side.
template <typename Simd>
struct SideBySide {
  uint8_t* target;

  DEGREEQUANT_INLINE void vector(AttentionRows& a, BlockHeads, const HeadLanes<Simd>& lanes, int64_t col, int64_t, int64_t count,
                                 typename Simd::Vector num) const noexcept {
    const Multipliers& channel = a.rule.channel;
    const auto m = multipliers_of<Simd>(a, lanes, Simd::load_some(channel.mantissa, channel.count, col, count),
                                        Simd::load_some(channel.shift, channel.count, col, count));
    Simd::store_codes(a.out.type, target, col, count, Simd::requantize_with(num, m, a.rule, col, count));
  }
};

}  // namespace degreequant
