// Attention, vectorised: the weights of a row's edges are computed once, for all of its heads or, where these are many or wide, for a piece
// of the row; then the codes of two edges at a time are multiplied by them, each lane with the weights of its head. `Simd` is what one
// instruction set calls its vectors (attend_<isa>.cpp).
#pragma once

#include "attend_codes.h"
#include "kernels_reference.h"

namespace degreequant {

constexpr int64_t kRowsAhead = 12;  // edges ahead of which a gathered row is asked for
static_assert(kRowsAhead + 1 < kIndexPadding);

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
    prepare_multipliers(a);
    if (!a.attention.average) return store_side_by_side(a);
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
  prepare_multipliers(a);
  take_carried(a);
}

template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void attend_row(Attending<Simd>& a, int64_t row) noexcept {
  a.target = a.out.row(row);
  for (int64_t channel = 0; channel < a.channels; channel += kPieceColumns) {
    const int64_t count = a.channels - channel < kPieceColumns ? a.channels - channel : kPieceColumns;
    if (a.attention.average) __builtin_memset(a.shares, 0, static_cast<uint64_t>(count) * sizeof(int64_t));
    for (int64_t head = 0; head < a.attention.heads; head += a.together) {
      const int64_t heads = a.attention.heads - head < a.together ? a.attention.heads - head : a.together;
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
