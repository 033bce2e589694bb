// What attention has at hand while it walks the rows: one call's arguments, one thread's working memory, and where it is.
#pragma once

#include "column_blocks.h"
#include "estimate.h"
#include "head_lanes.h"

namespace degreequant {

constexpr int64_t kPieceColumns = 1024;  // at most, of a piece

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

// Heads in a piece, an even number where two have to share a byte.
DEGREEQUANT_INLINE int64_t heads_in_piece(const Attention& attention) noexcept {
  const int64_t channels = attention.channels();
  int64_t heads = channels > kPieceColumns ? 1 : kPieceColumns / channels;
  if (heads > kGroupHeads) heads = kGroupHeads;
  return channels % 2 == 1 && heads > 1 ? heads / 2 * 2 : heads;
}

// One call's arguments, one thread's working memory, and where it is.
template <typename Simd>
struct Attending {
  static constexpr int64_t kSlots = kPieceColumns + 2 * kTileColumns;  // whole tiles are written

  Attention attention;
  Requantize rule;
  MutableCodes out;
  int64_t channels;  // of a head
  int64_t together;  // heads
  Softmax<Simd> softmax;
  EstimateRounder<typename Simd::Estimates> rounder;
  bool is_uniform;  // one multiplier for all channels: combined with those of a row's heads once
  Piece piece = {-1, 0, 0, 0};
  uint8_t* target = nullptr;              // where the row's codes go
  HeadLanes<Simd, kPieceColumns> loaded;  // of the piece's vectors as they are loaded, and in the order of the columns
  HeadLanes<Simd, kPieceColumns> ordered;
  int32_t head[kSlots];         // of each column of the piece, counted from the piece's first
  int32_t channel[kSlots];      // likewise
  int32_t sums[kSlots];         // over a chunk of edges
  int64_t wide[kSlots];         // over several
  int64_t shares[kSlots];       // of the mean over heads, of the piece's channels
  int32_t factors[kHeadSlots];  // the heads' multipliers in float32, by their bits

  DEGREEQUANT_INLINE Attending(const Attention& of, const Requantize& requantize, MutableCodes to) noexcept
      : attention(of),
        rule(requantize),
        out(to),
        channels(of.channels()),
        together(heads_in_piece(of)),
        softmax(logits_of(of)),
        rounder(requantize.clamp),
        is_uniform(requantize.channel.count == 1) {}

  DEGREEQUANT_INLINE int64_t first_column() const noexcept { return piece.head * channels + piece.channel; }
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

}  // namespace degreequant
