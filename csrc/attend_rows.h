// Attention, vectorised: the weights of a row's edges are computed once, for all of its heads or, where these are many or wide, for a piece
// of the row; then the codes of two edges at a time are multiplied by them, each lane with the weights of its head. `Simd` is what one
// instruction set calls its vectors (attend_<isa>.cpp).
#pragma once

#include "column_blocks.h"
#include "head_lanes.h"
#include "kernels_reference.h"

namespace degreequant {

constexpr int64_t kPieceColumns = 1024;  // at most, of a piece
constexpr int64_t kRowsAhead = 12;       // edges ahead of which a gathered row is asked for
static_assert(kRowsAhead + 1 < kIndexPadding);

// Some heads, or some channels of one.
struct Piece {
  int64_t head;
  int64_t heads;
  int64_t channel;
  int64_t channels;

  DEGREEQUANT_INLINE int64_t columns() const noexcept { return heads * channels; }
};

DEGREEQUANT_INLINE LogitSource logits_of(const Attention& attention) noexcept {
  return {.csr = attention.csr,
          .rows = attention.logits.data,
          .stride = attention.logits.stride,
          .is_unsigned = false,
          .targets = reinterpret_cast<const int8_t*>(attention.logits.data) + attention.heads,
          .edges = attention.edge_logits,
          .heads = attention.heads,
          .slope = attention.slope,
          .table = attention.table,
          .distances = attention.edge_logits.data == nullptr ? 256 : 511};
}

// One call's arguments, one thread's working memory, and where it is.
template <typename Simd>
struct Attending {
  static constexpr int64_t kSlots = kPieceColumns + 2 * kTileColumns;  // whole tiles are written

  Attention attention;
  Requantize rule;
  MutableCodes out;
  Softmax<Simd> softmax;
  bool is_uniform;  // one multiplier for all channels: combined with those of a row's heads once
  Piece piece = {-1, 0, 0, 0};
  uint8_t* target = nullptr;              // where the row's codes go
  HeadLanes<Simd, kPieceColumns> loaded;  // of the piece's vectors as they are loaded, and in the order of the columns
  HeadLanes<Simd, kPieceColumns> ordered;
  int32_t head[kSlots];     // of each column of the piece, counted from the piece's first
  int32_t channel[kSlots];  // likewise
  int32_t sums[kSlots];     // over a chunk of edges
  int64_t wide[kSlots];     // over several
  int64_t shares[kSlots];   // of the mean over heads, of the piece's channels

  DEGREEQUANT_INLINE Attending(const Attention& of, const Requantize& requantize, MutableCodes to) noexcept
      : attention(of), rule(requantize), out(to), softmax(logits_of(of)), is_uniform(requantize.channel.count == 1) {}

  DEGREEQUANT_INLINE int64_t first_column() const noexcept { return piece.head * attention.channels() + piece.channel; }
};

// Works out what the lanes of a piece's vectors are.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void choose_piece(Attending<Simd>& a, Piece piece) noexcept {
  if (piece.head == a.piece.head && piece.channel == a.piece.channel) return;
  a.piece = piece;
  a.softmax.choose(piece.head, piece.heads);
  const int64_t columns = piece.columns();
  for (int64_t column = 0, head = 0, channel = 0; column < columns; ++column) {
    a.head[column] = static_cast<int32_t>(head);
    a.channel[column] = static_cast<int32_t>(channel);
    channel = channel + 1 < piece.channels ? channel + 1 : 0;
    head += channel == 0;
  }
  const auto head_of = [&](int64_t column) DEGREEQUANT_INLINE_LAMBDA { return a.head[column < columns ? column : columns - 1]; };
  for (int64_t first = 0; first < columns; first += kTileColumns) {
    for (int v = 0; v < Simd::kTileVectors; ++v) {
      const int64_t vector = first / Simd::kLanes + v;
      a.loaded.place(vector, [&](int64_t i) DEGREEQUANT_INLINE_LAMBDA { return head_of(first + Loader::column(v, i)); });
      a.ordered.place(vector, [&](int64_t i) DEGREEQUANT_INLINE_LAMBDA { return head_of(first + v * Simd::kLanes + i); });
    }
  }
}

// 1 / the sums of the row's weights, with the multiplier of all channels where there is one.
template <typename Simd>
DEGREEQUANT_INLINE void invert_sums(Attending<Simd>& a) noexcept {
  a.softmax.invert();
  if (!a.is_uniform) return;
  const Multiplier m = a.rule.channel.at(0);
  a.softmax.for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
    int32_t *mantissa = a.softmax.mantissa + h, *shift = a.softmax.shift + h;
    Simd::store_multipliers(Simd::combined(Simd::load(mantissa), Simd::load(shift), Simd::set(m.mantissa), Simd::set(m.shift)), mantissa,
                            shift);
  });
}

// The multipliers of a vector of columns; `channel` of the piece's are theirs.
template <typename Simd, typename Channels>
DEGREEQUANT_INLINE auto multipliers_of(const Attending<Simd>& a, int64_t vector, Channels of_channels) noexcept {
  const auto mantissa = a.ordered.pick(a.softmax.mantissa, vector);
  const auto shift = a.ordered.pick(a.softmax.shift, vector);
  if (a.is_uniform) return Simd::multipliers(mantissa, shift);
  return Simd::combined(mantissa, shift, of_channels(a.rule.channel.mantissa), of_channels(a.rule.channel.shift));
}

// Stores the codes of a vector of sums, the heads side by side, or adds its shares to those of its channels.
template <typename Simd>
DEGREEQUANT_INLINE void take(Attending<Simd>& a, int64_t vector, typename Simd::Vector sums) noexcept {
  const int64_t at = vector * Simd::kLanes;
  const int64_t count = a.piece.columns() - at;
  if (!a.attention.average) {
    const int64_t col = a.first_column() + at;
    const auto multipliers =
        multipliers_of(a, vector, [&](const int32_t* values) DEGREEQUANT_INLINE_LAMBDA { return Simd::load_some(values + col, count); });
    Simd::store_codes(a.out.type, a.target, col, count, Simd::codes_with(sums, multipliers, a.rule, col, count));
    return;
  }
  const auto channel = Simd::load(a.channel + at);
  const auto multipliers = multipliers_of(a, vector, [&](const int32_t* values) DEGREEQUANT_INLINE_LAMBDA {
    return Simd::look_up(values + a.piece.channel, Simd::keep(channel, count, Simd::set(0)));
  });
  alignas(64) int64_t shares[Simd::kLanes];
  Simd::store_shares(shares, sums, multipliers);
  for (int64_t i = 0; i < Simd::kLanes && i < count; ++i) a.shares[a.channel[at + i]] += shares[i];
}

// The same for sums that take 64 bits.
template <typename Simd>
[[gnu::noinline]] void take_wide(Attending<Simd>& a, int64_t vector) noexcept {
  const int64_t at = vector * Simd::kLanes;
  const int64_t count = a.piece.columns() - at < Simd::kLanes ? a.piece.columns() - at : Simd::kLanes;
  const int64_t col = a.first_column() + at;
  alignas(64) int32_t codes[Simd::kLanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = a.head[at + i];
    const int64_t rule_col = a.attention.average ? a.piece.channel + a.channel[at + i] : col + i;
    Multiplier m = {a.softmax.mantissa[head], a.softmax.shift[head]};
    if (!a.is_uniform) m = bounded(combine(m, a.rule.channel.at(rule_col)));
    if (a.attention.average) {
      a.shares[a.channel[at + i]] += share_of(a.wide[at + i], m);
    } else {
      codes[i] = requantize_any(a.wide[at + i], m, a.rule.addend_at(rule_col), a.rule.clamp);
    }
  }
  if (!a.attention.average) Simd::store_codes(a.out.type, a.target, col, count, Simd::load(codes));
}

// What `wide` holds, in 32 bits where it fits.
template <typename Simd>
DEGREEQUANT_INLINE void take_carried(Attending<Simd>& a) noexcept {
  for (int64_t vector = 0; vector * Simd::kLanes < a.piece.columns(); ++vector) {
    const int64_t* wide = a.wide + vector * Simd::kLanes;
    alignas(64) int32_t sums[Simd::kLanes];
    bool is_narrow = true;
    for (int64_t i = 0; i < Simd::kLanes; ++i) {
      sums[i] = static_cast<int32_t>(wide[i]);
      is_narrow &= sums[i] == wide[i];
    }
    if (is_narrow) {
      take(a, vector, Simd::load(sums));
    } else {
      take_wide(a, vector);
    }
  }
}

// Sums a block of the codes of a chunk's edges, whose weights are there.
template <typename Simd, typename Loader, int kTiles>
[[gnu::noinline]] void sum_block(Attending<Simd>& a, int64_t first, int64_t count, const int32_t* indices, int64_t edges) noexcept {
  using Vector = typename Simd::Vector;
  using Block = typename Simd::template Block<Loader, kTiles>;
  const Block block(a.attention.x, a.first_column() + first, count);
  const int64_t vector = first / Simd::kLanes;
  Vector acc[Block::kVectors] = {}, behind[Block::kVectors];
  int64_t head[Block::kVectors];
  unrolled<Block::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
    behind[v] = a.loaded.behind(vector + v);
    head[v] = a.loaded.first(vector + v);
  });
  const int32_t* pair = a.softmax.pairs;
  for (int64_t e = 0; e < edges; e += 2, pair += a.softmax.slots()) {
    block.prefetch(indices[e + kRowsAhead]);
    block.prefetch(indices[e + 1 + kRowsAhead]);
    Vector factors[Block::kVectors];
    unrolled<Block::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { factors[v] = Simd::permute(Simd::load(pair + head[v]), behind[v]); });
    block.add(indices[e], indices[e + (e + 1 < edges)], factors, acc);
  }
  unrolled<kTiles>([&](auto t) DEGREEQUANT_INLINE_LAMBDA { Loader::order(acc + t * Simd::kTileVectors); });
  unrolled<Block::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
    if (Loader::kOffset != 0) {
      const Vector total = a.ordered.pick(a.softmax.chunk_total, vector + v);
      acc[v] = Simd::subtract(acc[v], Simd::multiply(total, Simd::set(Loader::kOffset)));
    }
    Simd::store(a.sums + (vector + v) * Simd::kLanes, acc[v]);
  });
}

// Sums the codes of a chunk of edges, all columns of the piece.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void sum_chunk(Attending<Simd>& a, int64_t begin, int64_t edges) noexcept {
  a.softmax.weigh(begin, edges);
  const int32_t* indices = a.attention.csr.indices + begin;
  for_column_blocks(a.piece.columns(), [&](auto tiles, int64_t first, int64_t count)
                                           DEGREEQUANT_INLINE_LAMBDA { sum_block<Simd, Loader, tiles>(a, first, count, indices, edges); });
}

// The piece of a row.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_piece(Attending<Simd>& a, int64_t row) noexcept {
  const int64_t begin = a.attention.csr.indptr[row];
  const int64_t end = a.attention.csr.indptr[row + 1];
  const int64_t chunk = a.softmax.chunk();
  a.softmax.start(row);
  if (end - begin <= chunk) {
    sum_chunk<Simd, Loader>(a, begin, end - begin);
    invert_sums(a);
    for (int64_t vector = 0; vector * Simd::kLanes < a.piece.columns(); ++vector) {
      take(a, vector, Simd::load(a.sums + vector * Simd::kLanes));
    }
    return;
  }
  __builtin_memset(a.wide, 0, sizeof a.wide);
  for (int64_t first = begin; first < end; first += chunk) {
    sum_chunk<Simd, Loader>(a, first, end - first < chunk ? end - first : chunk);
    for (int64_t i = 0; i < a.piece.columns(); ++i) a.wide[i] += a.sums[i];
  }
  invert_sums(a);
  take_carried(a);
}

// Stores the codes of the shares of `count` channels.
template <typename Simd>
DEGREEQUANT_INLINE void store_mean(const Attending<Simd>& a, int64_t first, int64_t count) noexcept {
  alignas(64) int32_t codes[Simd::kLanes] = {};
  for (int64_t i = 0; i < count; i += Simd::kLanes) {
    for (int64_t k = 0; k < Simd::kLanes && i + k < count; ++k) {
      codes[k] = code_of_shares(a.shares[i + k], a.rule.addend_at(first + i + k), a.rule.clamp);
    }
    Simd::store_codes(a.out.type, a.target, first + i, count - i, Simd::load(codes));
  }
}

// Heads in a piece, an even number where two have to share a byte.
DEGREEQUANT_INLINE int64_t heads_in_piece(const Attention& attention) noexcept {
  const int64_t channels = attention.channels();
  int64_t heads = channels > kPieceColumns ? 1 : kPieceColumns / channels;
  if (heads > kGroupHeads) heads = kGroupHeads;
  return channels % 2 == 1 && heads > 1 ? heads / 2 * 2 : heads;
}

template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_row(Attending<Simd>& a, int64_t row) noexcept {
  const int64_t channels = a.attention.channels();
  const int64_t together = heads_in_piece(a.attention);
  a.target = a.out.row(row);
  for (int64_t channel = 0; channel < channels; channel += kPieceColumns) {
    const int64_t count = channels - channel < kPieceColumns ? channels - channel : kPieceColumns;
    if (a.attention.average) __builtin_memset(a.shares, 0, static_cast<uint64_t>(count) * sizeof(int64_t));
    for (int64_t head = 0; head < a.attention.heads; head += together) {
      const int64_t heads = a.attention.heads - head < together ? a.attention.heads - head : together;
      choose_piece<Simd, Loader>(a, {head, heads, channel, count});
      attend_piece<Simd, Loader>(a, row);
    }
    if (a.attention.average) store_mean(a, channel, count);
  }
}

// Whether every piece begins on a byte, and the heads of every vector are few enough to be picked from one.
template <typename Simd, typename Loader>
DEGREEQUANT_INLINE bool is_attended(const Attention& attention) noexcept {
  const int64_t channels = attention.channels();
  if (channels == 0) return false;
  const bool on_bytes = Loader::kTileBytes == kTileColumns || channels % 2 == 0 || heads_in_piece(attention) > 1 || attention.heads == 1;
  return on_bytes && (channels > 1 || attention.heads <= Simd::kLanes);
}

template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_rows(const Attention& attention, const Requantize& rule, MutableCodes out, int64_t begin,
                                    int64_t end) noexcept {
  if (!is_attended<Simd, Loader>(attention)) return reference::attend(attention, rule, out, begin, end);
  Attending<Simd> a(attention, rule, out);
  for (int64_t row = begin; row < end; ++row) attend_row<Simd, Loader>(a, row);
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
