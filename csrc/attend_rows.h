// Attention, vectorised: for each block of a row's columns the weights of its edges are computed once, then summed with the codes as a sum
// over neighbours is, each lane with the weight of its head. `Simd` is what one instruction set calls its vectors (attend_<isa>.cpp).
#pragma once

#include "gather.h"
#include "kernels_reference.h"
#include "softmax.h"

namespace degreequant {

constexpr int64_t kMaxHeadColumns = 1 << 16;  // of one head: what HeadLanes divides by exactly

// The heads of a block of columns, which begins at column `position` of the first of them.
struct ColumnHeads : BlockHeads {
  int64_t position;

  DEGREEQUANT_INLINE ColumnHeads(const Attention& a, int64_t column, int64_t columns) noexcept
      : ColumnHeads(static_cast<uint32_t>(column), static_cast<uint32_t>(columns), static_cast<uint32_t>(a.channels())) {}

 private:
  DEGREEQUANT_INLINE ColumnHeads(uint32_t column, uint32_t columns, uint32_t channels) noexcept
      : BlockHeads(column / channels, (column % channels + columns - 1) / channels + 1), position(column % channels) {}
};

// One call's arguments, one thread's working memory, and the row that it is at.
template <typename Simd>
struct AttentionRows {
  Attention attention;
  Requantize rule;
  MutableCodes out;
  Prefetcher prefetcher;
  Softmax<Simd> softmax;
  int32_t mantissa[kHeadSlots] = {};  // of 1 / the sum of a row's weights, of each head of a block
  int32_t shift[kHeadSlots] = {};
  int64_t row = 0;
  uint8_t* target = nullptr;           // where its codes go
  int64_t wide[kBlockColumns] = {};    // sums of a block over a row of several chunks
  int64_t shares[kBlockColumns] = {};  // of the mean over heads, for columns of the output
  int64_t first_share = 0;             // the first of these columns
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

// Stores the codes of a vector of sums, the heads side by side.
template <typename Simd>
DEGREEQUANT_INLINE void take_codes(AttentionRows<Simd>& a, const HeadLanes<Simd>& lanes, int64_t col, int64_t count,
                                   typename Simd::Vector num) noexcept {
  const Multipliers& m = a.rule.channel;
  const auto multipliers = Simd::combined(lanes.pick(a.mantissa), lanes.pick(a.shift), Simd::load_some(m.mantissa, m.count, col, count),
                                          Simd::load_some(m.shift, m.count, col, count));
  Simd::store_codes(a.out.type, a.target, col, count, Simd::requantize_with(num, multipliers, a.rule, col, count));
}

// Adds the shares of a vector of sums to those of its channels.
template <typename Simd>
DEGREEQUANT_INLINE void take_shares(AttentionRows<Simd>& a, const HeadLanes<Simd>& lanes, int64_t count,
                                    typename Simd::Vector num) noexcept {
  const Multipliers& m = a.rule.channel;
  const auto multipliers = Simd::combined(lanes.pick(a.mantissa), lanes.pick(a.shift), Simd::gather(m.mantissa, m.count, lanes.channel),
                                          Simd::gather(m.shift, m.count, lanes.channel));
  alignas(64) int64_t shares[Simd::kLanes];
  alignas(64) int32_t channel[Simd::kLanes];
  Simd::store_shares(shares, num, multipliers);
  Simd::store(channel, lanes.channel);
  for (int64_t i = 0; i < Simd::kLanes && i < count; ++i) a.shares[channel[i] - a.first_share] += shares[i];
}

// Either, of the block's columns from `first` on, whose sums take 64 bits.
template <typename Simd>
[[gnu::noinline]] void take_wide(AttentionRows<Simd>& a, ColumnHeads heads, int64_t first, int64_t count) noexcept {
  const int64_t channels = a.attention.channels();
  alignas(64) int32_t codes[kBlockColumns] = {};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = (heads.position + i) / channels;
    const int64_t channel = heads.position + i - head * channels;
    const int64_t col = a.attention.average ? channel : first + i;
    const Multiplier m = bounded(combine(Multiplier{a.mantissa[head], a.shift[head]}, a.rule.channel.at(col)));
    if (a.attention.average) {
      a.shares[channel - a.first_share] += share_of(a.wide[i], m);
    } else {
      codes[i] = requantize_any(a.wide[i], m, a.rule.addend_at(col), a.rule.clamp);
    }
  }
  for (int64_t i = 0; i < count && !a.attention.average; i += Simd::kLanes) {
    Simd::store_codes(a.out.type, a.target, first + i, count - i, Simd::load(codes + i));
  }
}

// Weighs the edges [begin, end) of the row, a chunk at most, and sums a block of their sources' codes.
template <typename Simd, typename Shape, typename Loader, typename Block>
DEGREEQUANT_INLINE Sums<Simd, Shape> sum_chunk(AttentionRows<Simd>& a, const Block& block, ColumnHeads heads, const HeadLanes<Simd>* lanes,
                                               int64_t begin, int64_t end) noexcept {
  a.softmax.weigh(heads, begin, end - begin);
  Sums<Simd, Shape> sums;
  const auto add_edges = [&](auto add) DEGREEQUANT_INLINE_LAMBDA {
    const int32_t* weights = a.softmax.weights;
    for (int64_t e = begin; e < end; ++e, weights += heads.count) {
      a.prefetcher.ask(block.base, block.stride, block.bytes, e);
      add(a.attention.csr.indices[e], weights);
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
  return sums;
}

template <typename Simd, typename Sums>
DEGREEQUANT_INLINE void carry(AttentionRows<Simd>& a, const Sums& sums) noexcept {
  alignas(64) int32_t chunk[kBlockColumns];
  for (int v = 0; v < Sums::kVectors; ++v) Simd::store(chunk + v * Simd::kLanes, sums.acc[v]);
  for (int64_t i = 0; i < Sums::kVectors * Simd::kLanes; ++i) a.wide[i] += chunk[i];
}

// Columns [first, first + count) of the row.
template <typename Simd, typename Loader, typename Shape>
DEGREEQUANT_INLINE void attend_block(AttentionRows<Simd>& a, int64_t first, int64_t count) noexcept {
  constexpr int kVectors = Sums<Simd, Shape>::kVectors;
  const typename Simd::template Block<Loader, Shape> block(a.attention.x, first, count);
  const ColumnHeads heads(a.attention, first, count);
  HeadLanes<Simd> lanes[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int tile = v / Simd::kTileVectors;
    lanes[v].place(a, heads.position + tile * kTileColumns + Loader::first(v % Simd::kTileVectors), Loader::kStep);
  }
  a.softmax.start(a.row, heads);
  const int64_t end = a.attention.csr.indptr[a.row + 1];
  const bool is_wide = end - a.attention.csr.indptr[a.row] > heads.chunk;
  if (is_wide) __builtin_memset(a.wide, 0, sizeof a.wide);
  Sums<Simd, Shape> sums;
  for (int64_t begin = a.attention.csr.indptr[a.row]; begin < end; begin += heads.chunk) {
    const int64_t stop = end - begin < heads.chunk ? end : begin + heads.chunk;
    sums = sum_chunk<Simd, Shape, Loader>(a, block, heads, lanes, begin, stop);
    if (is_wide) carry(a, sums);
  }
  for (int64_t h = 0; h < heads.count; ++h) {
    const Multiplier share = a.softmax.share(h);
    a.mantissa[h] = share.mantissa;
    a.shift[h] = share.shift;
  }
  if (is_wide) return take_wide(a, heads, first, count);
  for (int v = 0; v < kVectors; ++v) {
    const int64_t lane = v * Simd::kLanes;
    if (lane >= count) return;
    HeadLanes<Simd> ordered;
    ordered.place(a, heads.position + lane, 1);
    if (a.attention.average) {
      take_shares(a, ordered, count - lane, sums.acc[v]);
    } else {
      take_codes(a, ordered, first + lane, count - lane, sums.acc[v]);
    }
  }
}

// Columns [begin, end) of the row, block by block.
template <typename Simd, typename Loader>
[[gnu::noinline]] void attend_columns(AttentionRows<Simd>& a, int64_t begin, int64_t end) noexcept {
  for_tile_blocks<Simd::kMaxTiles>(begin, end, [&](auto shape, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    attend_block<Simd, Loader, decltype(shape)>(a, first, count);
  });
}

// Stores the codes of `count` channels' shares.
template <typename Simd>
DEGREEQUANT_INLINE void store_mean(const AttentionRows<Simd>& a, int64_t count) noexcept {
  const int64_t first = a.first_share;
  alignas(64) int32_t codes[kBlockColumns] = {};
  for (int64_t i = 0; i < count; ++i) codes[i] = code_of_shares(a.shares[i], a.rule.addend_at(first + i), a.rule.clamp);
  for (int64_t i = 0; i < count; i += Simd::kLanes) {
    Simd::store_codes(a.out.type, a.target, first + i, count - i, Simd::load(codes + i));
  }
}

// The mean over the row's heads. Where heads are narrow, a block of columns holds several; else they are gone through side by side.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_mean(AttentionRows<Simd>& a) noexcept {
  const int64_t channels = a.attention.channels();
  for (int64_t first = 0; first < channels; first += kBlockColumns) {
    const int64_t count = channels - first < kBlockColumns ? channels - first : kBlockColumns;
    a.first_share = first;
    __builtin_memset(a.shares, 0, sizeof a.shares);
    if (count == channels) {
      attend_columns<Simd, Loader>(a, 0, a.attention.x.cols);
    } else {
      for (int64_t at = first; at < a.attention.x.cols; at += channels) attend_columns<Simd, Loader>(a, at, at + count);
    }
    store_mean(a, count);
  }
}

// Whether every block begins on a byte, and the heads of every vector are few enough to be picked from one.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE bool is_attended(const Attention& attention) noexcept {
  const int64_t channels = attention.channels();
  const bool on_bytes = Loader::kStep == 1 || channels % 2 == 0 || !attention.average || channels <= kBlockColumns;
  return on_bytes && (channels >= Loader::kStep || attention.heads <= Simd::kLanes) && channels <= kMaxHeadColumns;
}

DEGREEQUANT_INLINE LogitSource logits_of(const Attention& attention) noexcept {
  return {.csr = attention.csr,
          .rows = reinterpret_cast<const uint8_t*>(attention.logits),
          .stride = 2 * attention.heads,
          .is_unsigned = false,
          .targets = attention.logits + attention.heads,
          .edges = attention.edge_logits,
          .heads = attention.heads,
          .slope = attention.slope,
          .table = attention.table,
          .distances = attention.edge_logits == nullptr ? 256 : 511};
}

template <typename Simd, typename Loader>
void attend_rows(const Attention& attention, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  if (!is_attended<Simd, Loader>(attention)) return reference::attend(attention, rule, out, begin, end);
  const Prefetcher prefetcher(attention.csr, end);
  AttentionRows<Simd> a = {attention, rule, out, prefetcher, Softmax<Simd>(logits_of(attention))};
  for (a.row = begin; a.row < end; ++a.row) {
    a.target = out.data + a.row * row_bytes(out.type, out.cols);
    if (attention.average) {
      attend_mean<Simd, Loader>(a);
    } else {
      attend_columns<Simd, Loader>(a, 0, attention.x.cols);
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
