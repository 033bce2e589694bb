// Attention, vectorised: for each block of a row's columns the weights of its edges are computed once, then summed with the codes as a sum
// over neighbours is, each lane with the weight of its head. `Simd` is what one instruction set calls its vectors (attend_<isa>.cpp).
#pragma once

#include "kernels_reference.h"
#include "softmax.h"

namespace degreequant {

constexpr int64_t kMaxHeadColumns = 1 << 16;  // of one head: what HeadLanes divides by exactly

// One call's arguments and one thread's working memory.
template <typename Simd>
struct AttentionRows {
  Attention attention;
  Requantize rule;
  MutableCodes out;
  Prefetcher prefetcher;
  Softmax<Simd> softmax;
  int64_t wide[kBlockColumns] = {};    // sums of a block over a row of several chunks
  int64_t shares[kBlockColumns] = {};  // of the mean over heads, for a block of the output's columns
};

// The heads of a vector whose lane i is column `position + step * i` of a block, counted from the first column of the block's first head.
template <typename Simd>
struct HeadLanes {
  using Vector = typename Simd::Vector;

  DEGREEQUANT_INLINE void place(const AttentionRows<Simd>& a, int64_t position, int64_t step) noexcept {
    const int32_t width = static_cast<int32_t>(a.attention.channels());
    const Vector column = Simd::sequence(static_cast<int32_t>(position), static_cast<int32_t>(step));
    const Vector head = Simd::quotients(column, 1.0F / static_cast<float>(width));
    channel = Simd::subtract(column, Simd::multiply(head, Simd::set(width)));
    first = Simd::first_lane(head);
    index = Simd::subtract(head, Simd::set(first));
  }

  // What each lane's head has among values of the block's heads.
  DEGREEQUANT_INLINE Vector pick(const int32_t* values) const noexcept { return Simd::permute(Simd::load(values + first), index); }

  Vector channel;  // of its head, in each lane
  Vector index;    // of the head, counted from lane 0's
  int32_t first;   // head of lane 0, counted from the block's first
};

// The codes of the heads side by side.
template <typename Simd>
struct SideBySide {
  uint8_t* target;

  DEGREEQUANT_INLINE void take(AttentionRows<Simd>& a, const HeadLanes<Simd>& lanes, int64_t col, int64_t count,
                               typename Simd::Vector num) const noexcept {
    const Multipliers& m = a.rule.channel;
    const auto multipliers =
        Simd::combined(lanes.pick(a.softmax.mantissa), lanes.pick(a.softmax.shift), Simd::load_some(m.mantissa, m.count, col, count),
                       Simd::load_some(m.shift, m.count, col, count));
    Simd::store_codes(a.out.type, target, col, count, Simd::requantize_with(num, multipliers, a.rule, col, count));
  }

  DEGREEQUANT_INLINE void take_wide(AttentionRows<Simd>& a, BlockHeads heads, int64_t col, int64_t count,
                                    const int64_t* num) const noexcept {
    alignas(64) int32_t codes[kBlockColumns + kMaxLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      const Multiplier m = bounded(combine(a.softmax.factor(heads.head_of(a.attention, i)), a.rule.channel.at(col + i)));
      codes[i] = requantize_any(num[i], m, a.rule.addend_at(col + i), a.rule.clamp);
    }
    for (int64_t i = 0; i < count; i += Simd::kLanes) {
      Simd::store_codes(a.out.type, target, col + i, count - i, Simd::load(codes + i));
    }
  }
};

// The shares of the heads in the columns of the output from `first` on, at most kBlockColumns.
template <typename Simd>
struct Mean {
  int64_t first;

  DEGREEQUANT_INLINE void take(AttentionRows<Simd>& a, const HeadLanes<Simd>& lanes, int64_t, int64_t count,
                               typename Simd::Vector num) const noexcept {
    const Multipliers& m = a.rule.channel;
    const auto multipliers =
        Simd::combined(lanes.pick(a.softmax.mantissa), lanes.pick(a.softmax.shift), Simd::gather(m.mantissa, m.count, lanes.channel),
                       Simd::gather(m.shift, m.count, lanes.channel));
    alignas(64) int64_t shares[Simd::kLanes];
    alignas(64) int32_t channel[Simd::kLanes];
    Simd::store_shares(shares, num, multipliers);
    Simd::store(channel, lanes.channel);
    for (int64_t i = 0; i < Simd::kLanes && i < count; ++i) a.shares[channel[i] - first] += shares[i];
  }

  DEGREEQUANT_INLINE void take_wide(AttentionRows<Simd>& a, BlockHeads heads, int64_t, int64_t count, const int64_t* num) const noexcept {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t head = heads.head_of(a.attention, i);
      const int64_t channel = heads.position + i - head * a.attention.channels();
      a.shares[channel - first] += share_of(num[i], bounded(combine(a.softmax.factor(head), a.rule.channel.at(channel))));
    }
  }
};

// Columns [first, first + count) of one row, given to `result`.
template <typename Simd, typename Loader, typename Shape, typename Result>
DEGREEQUANT_INLINE void attend_block(AttentionRows<Simd>& a, int64_t row, int64_t first, int64_t count, Result result) noexcept {
  const Csr& csr = a.attention.csr;
  const typename Simd::template Block<Loader, Shape> block(a.attention.x, first, count);
  const BlockHeads heads(a.attention, first, count);
  constexpr int kVectors = Sums<Simd, Shape>::kVectors;
  HeadLanes<Simd> lanes[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int tile = v / Simd::kTileVectors;
    lanes[v].place(a, heads.position + tile * kTile + Loader::first(v % Simd::kTileVectors), Loader::kStep);
  }
  a.softmax.start(row, heads);
  const int64_t end = csr.indptr[row + 1];
  const bool is_wide = end - csr.indptr[row] > heads.chunk;
  if (is_wide) __builtin_memset(a.wide, 0, sizeof a.wide);
  Sums<Simd, Shape> sums;
  for (int64_t begin = csr.indptr[row]; begin < end; begin += heads.chunk) {
    const int64_t stop = end - begin < heads.chunk ? end : begin + heads.chunk;
    a.softmax.weigh(heads, begin, stop - begin);
    sums = {};
    const auto add_edges = [&](auto add) DEGREEQUANT_INLINE_LAMBDA {
      const int32_t* weights = a.softmax.weights;
      for (int64_t e = begin; e < stop; ++e, weights += heads.count) {
        a.prefetcher.ask(block.base, block.stride, block.bytes, e);
        add(csr.indices[e], weights);
      }
    };
    if (heads.count == 1) {
      add_edges([&](int64_t source, const int32_t* weight)
                    DEGREEQUANT_INLINE_LAMBDA { block.add(source, [factor = Simd::set(*weight)](int) { return factor; }, sums); });
    } else {
      add_edges([&](int64_t source, const int32_t* weights) DEGREEQUANT_INLINE_LAMBDA {
        block.add(source, [&](int v) DEGREEQUANT_INLINE_LAMBDA { return lanes[v].pick(weights); }, sums);
      });
    }
    sums.template finish<Loader>([&](int v) DEGREEQUANT_INLINE_LAMBDA {
      return Loader::kOffset == 0 ? Simd::set(0) : Simd::multiply(lanes[v].pick(a.softmax.chunk_den), Simd::set(Loader::kOffset));
    });
    if (is_wide) {
      alignas(64) int32_t chunk[kVectors * Simd::kLanes];
      for (int v = 0; v < kVectors; ++v) Simd::store(chunk + v * Simd::kLanes, sums.acc[v]);
      for (int64_t i = 0; i < kVectors * Simd::kLanes; ++i) a.wide[i] += chunk[i];
    }
  }
  a.softmax.invert(heads);
  if (is_wide) return result.take_wide(a, heads, first, count, a.wide);
  for (int v = 0; v < kVectors; ++v) {
    const int64_t lane = v * Simd::kLanes;
    if (lane >= count) return;
    HeadLanes<Simd> ordered;
    ordered.place(a, heads.position + lane, 1);
    result.take(a, ordered, first + lane, count - lane, sums.acc[v]);
  }
}

// Columns [begin, end) of one row, block by block.
template <typename Simd, typename Loader, typename Result>
DEGREEQUANT_INLINE void attend_columns(AttentionRows<Simd>& a, int64_t row, int64_t begin, int64_t end, Result result) noexcept {
  for_blocks<Simd::kMaxTiles>(begin, end, [&](auto shape, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    attend_block<Simd, Loader, decltype(shape)>(a, row, first, count, result);
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void store_mean(const AttentionRows<Simd>& a, int64_t first, int64_t count, uint8_t* target) noexcept {
  alignas(64) int32_t codes[kBlockColumns] = {};
  for (int64_t i = 0; i < count; ++i) codes[i] = code_of_shares(a.shares[i], a.rule.addend_at(first + i), a.rule.clamp);
  for (int64_t i = 0; i < count; i += Simd::kLanes) Simd::store_codes(a.out.type, target, first + i, count - i, Simd::load(codes + i));
}

// The mean over heads; where they are narrow, a block of columns may hold several of them.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_mean(AttentionRows<Simd>& a, int64_t row, uint8_t* target) noexcept {
  const int64_t channels = a.attention.channels();
  for (int64_t first = 0; first < channels; first += kBlockColumns) {
    const int64_t count = channels - first < kBlockColumns ? channels - first : kBlockColumns;
    const bool all = count == channels;
    __builtin_memset(a.shares, 0, sizeof a.shares);
    for (int64_t head = 0; head < (all ? 1 : a.attention.heads); ++head) {
      const int64_t begin = head * channels + first;
      attend_columns<Simd, Loader>(a, row, begin, all ? a.attention.x.cols : begin + count, Mean<Simd>{first});
    }
    store_mean<Simd>(a, first, count, target);
  }
}

template <typename Simd, typename Loader>
void attend_rows(const Attention& attention, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const int64_t channels = attention.channels();
  const bool lanes_reach = channels >= Loader::kStep || attention.heads <= Simd::kLanes;  // the heads of every vector are within one
  const bool on_bytes =
      Loader::kStep == 1 || !attention.average || channels <= kBlockColumns || channels % 2 == 0;  // all blocks begin there
  if (!lanes_reach || !on_bytes || channels > kMaxHeadColumns) return reference::attend(attention, rule, out, begin, end);
  const Prefetcher prefetcher(attention.csr, end);
  AttentionRows<Simd> a = {attention, rule, out, prefetcher, Softmax<Simd>(attention, prefetcher)};
  for (int64_t row = begin; row < end; ++row) {
    uint8_t* target = out.data + row * row_bytes(out.type, out.cols);
    if (attention.average) {
      attend_mean<Simd, Loader>(a, row, target);
    } else {
      attend_columns<Simd, Loader>(a, row, 0, attention.x.cols, SideBySide<Simd>{target});
    }
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void attend_with(const Attention& attention, const Requantize& rule, MutableCodes out, int64_t begin,
                                    int64_t end) noexcept {
  switch (attention.x.type) {
    case CodeType::i4:
      return attend_rows<Simd, typename Simd::template Nibbles<true>>(attention, rule, out, begin, end);
    case CodeType::u4:
      return attend_rows<Simd, typename Simd::template Nibbles<false>>(attention, rule, out, begin, end);
    case CodeType::i8:
      return attend_rows<Simd, typename Simd::template Bytes<true>>(attention, rule, out, begin, end);
    case CodeType::u8:
      return attend_rows<Simd, typename Simd::template Bytes<false>>(attention, rule, out, begin, end);
    default:
      return reference::attend(attention, rule, out, begin, end);
  }
}

}  // namespace degreequant
