// How the kernels that sum over edges walk a matrix: a row's stored bytes in blocks, whose accumulators stay in registers while the edges
// are walked, and the gathered rows asked for some edges ahead.
#pragma once

#include "kernels.h"

namespace degreequant {

constexpr int64_t kHalfTile = 16;     // bytes; the unit of a block
constexpr int64_t kTile = 32;         // bytes loaded at once
constexpr int64_t kRowsAtOnce = 32;   // whose blocks of one shape are summed one after the other
constexpr int64_t kLineEdges = 60;    // how far ahead a gathered block is asked for that fills a cache line or more
constexpr int64_t kNarrowEdges = 32;  // and a narrower one
static_assert(kLineEdges < kIndexPadding && kNarrowEdges < kIndexPadding);

// A block of so many half tiles or of some bytes fewer. Of a power of two it ends within the last quarter, or half where that is a tile or
// less; of a tile more than a power of two within the last tile.
template <int halves>
struct BlockShape {
  static constexpr int kHalves = halves;
  static constexpr int kTiles = halves / 2;  // 0 of a single half tile
  static constexpr int64_t kBytes = halves * kHalfTile;

  // Whether the block may end before tile t does.
  DEGREEQUANT_INLINE static constexpr bool is_open(int t) noexcept { return 4 * (t + 1) > 3 * kTiles; }
};

// Calls f(shape, first, bytes) for blocks that cover the `bytes` bytes from `first` on, fewer than kHalves half tiles.
template <int kHalves, typename F>
DEGREEQUANT_INLINE void for_last_blocks(int64_t first, int64_t bytes, F f) noexcept {
  if constexpr (kHalves > 1) {
    constexpr int64_t kSmaller = kHalves / 2 * kHalfTile;
    if (bytes > kSmaller && (kHalves <= 4 || 2 * bytes > 3 * kSmaller)) return f(BlockShape<kHalves>{}, first, bytes);
    if (bytes >= kSmaller) {
      f(BlockShape<kHalves / 2>{}, first, kSmaller);
      first += kSmaller;
      bytes -= kSmaller;
    }
    return for_last_blocks<kHalves / 2>(first, bytes, f);
  } else {
    if (bytes > 0) f(BlockShape<1>{}, first, bytes);
  }
}

// Calls f(shape, first, bytes) for blocks of at most kMaxHalves half tiles that cover the bytes [0, bytes) of a row. With kJoinsRest a rest
// of a tile or less joins the block before it: the edges are not walked once more for a few columns.
template <int kMaxHalves, bool kJoinsRest, typename F>
DEGREEQUANT_INLINE void for_blocks(int64_t bytes, F f) noexcept {
  constexpr int64_t kWhole = kMaxHalves * kHalfTile;
  int64_t first = 0;
  for (; bytes - first >= kWhole; first += kWhole) {
    if constexpr (kJoinsRest) {
      const int64_t left = bytes - first;
      if (left > kWhole && left <= kWhole + kTile) return f(BlockShape<kMaxHalves + 2>{}, first, left);
    }
    f(BlockShape<kMaxHalves>{}, first, kWhole);
  }
  for_last_blocks<kMaxHalves>(first, bytes - first, f);
}

// A block of every row of a matrix, by edges.
template <typename Shape>
struct GatheredRows {
  const uint8_t* base;  // where the block begins in row 0
  int64_t stride;
  const int32_t* indices;
  int64_t last;        // byte of the block, from its first
  bool straddles;      // a block may begin within a cache line and end in another
  const uint8_t* end;  // of the matrix

  DEGREEQUANT_INLINE GatheredRows(Codes x, const Csr& csr, int64_t first, int64_t bytes) noexcept
      : base(x.data + first),
        stride(x.stride),
        indices(csr.indices),
        last(bytes - 1),
        straddles(!is_aligned(x.data + first, stride)),
        end(x.end()) {}

  DEGREEQUANT_INLINE const uint8_t* row(int64_t node) const noexcept { return base + node * stride; }

  // The source that is gathered some edges after that of `edge`; it may be of a row of the output that others compute.
  DEGREEQUANT_INLINE int64_t source_ahead(int64_t edge) const noexcept {
    return indices[edge + (Shape::kBytes < kLine ? kNarrowEdges : kLineEdges)];
  }

  DEGREEQUANT_INLINE void prefetch(int64_t node) const noexcept {
    const uint8_t* p = row(node);
    for (int64_t line = 0; line < Shape::kBytes; line += kLine) __builtin_prefetch(p + line);
    if (straddles) __builtin_prefetch(p + last);
  }

 private:
  static constexpr int64_t kLine = 64;

  DEGREEQUANT_INLINE static bool is_aligned(const uint8_t* first, int64_t stride) noexcept {
    constexpr int64_t kUnit = Shape::kBytes < kLine ? Shape::kBytes : kLine;
    return (reinterpret_cast<uintptr_t>(first) | static_cast<uintptr_t>(stride)) % kUnit == 0;
  }
};

// A block of a row, read in half tiles by sets that cannot mask a load. Where whole ones would reach beyond the matrix, which ends at
// `end`, the row's bytes are copied first.
template <typename Shape>
class BlockRow {
 public:
  DEGREEQUANT_INLINE BlockRow(const uint8_t* row, int64_t bytes, const uint8_t* end) noexcept : p_(row) {
    if (end - row >= Shape::kBytes) return;
    for (int64_t i = 0; i < Shape::kBytes; ++i) copy_[i] = i < bytes ? row[i] : 0;
    p_ = copy_;
  }
  DEGREEQUANT_INLINE const uint8_t* half(int h) const noexcept { return p_ + h * kHalfTile; }

 private:
  const uint8_t* p_;
  alignas(16) uint8_t copy_[Shape::kBytes];
};

}  // namespace degreequant
