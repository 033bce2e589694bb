// What the vectorised kernels over edges share, whatever the instruction set: they walk the columns of a row in blocks, whose accumulators
// stay in registers while the row's edges are walked.
#pragma once

#include "kernels.h"

namespace degreequant {

constexpr int64_t kTileColumns = 32;   // columns in a tile; its codes of any type begin on a byte
constexpr int64_t kBlockColumns = 64;  // in the widest block
constexpr int64_t kGatherAhead = 12;   // how far ahead a gathered row is asked for

// A block of kTiles tiles; with kPartial, of some columns fewer.
template <int tiles, bool partial>
struct TileShape {
  static constexpr int kTiles = tiles;
  static constexpr bool kPartial = partial;
};

// Calls f(shape, first, count) for blocks of at most kMaxTiles tiles that cover the columns [begin, end).
template <int kMaxTiles, typename F>
DEGREEQUANT_INLINE void for_tile_blocks(int64_t begin, int64_t end, F f) noexcept {
  constexpr int64_t kWhole = kMaxTiles * kTileColumns;
  int64_t first = begin;
  for (; first + kWhole <= end; first += kWhole) f(TileShape<kMaxTiles, false>{}, first, kWhole);
  const int64_t left = end - first;
  if (left == kTileColumns) {
    f(TileShape<1, false>{}, first, left);
  } else if (left > kTileColumns) {
    f(TileShape<kMaxTiles, true>{}, first, left);
  } else if (left > 0) {
    f(TileShape<1, true>{}, first, left);
  }
}

// Accumulators of a block, in vectors. They may wrap around on their way; what finish() leaves must fit, and has not.
template <typename Simd, typename Shape>
struct Sums {
  static constexpr int kVectors = Shape::kTiles * Simd::kTileVectors;
  typename Simd::Vector acc[kVectors] = {};

  // Takes back offset(v) from each vector v and puts the sums in the order of the columns.
  template <typename Loader, typename Offset>
  DEGREEQUANT_INLINE void finish(Offset offset) noexcept {
    for (int v = 0; v < kVectors; ++v) acc[v] = Simd::subtract(acc[v], offset(v));
    for (int v = 0; v < kVectors; v += Simd::kTileVectors) Loader::order(acc + v);
  }
};

// Asks for rows before they are needed: the edges of the rows to be computed follow each other.
struct Prefetcher {
  const int32_t* indices;
  int64_t last_edge;  // of those rows: none is asked for beyond it

  DEGREEQUANT_INLINE Prefetcher(const Csr& csr, int64_t end) noexcept : indices(csr.indices), last_edge(csr.indptr[end] - 1) {}

  // Asks for `bytes` bytes of the row that is gathered kGatherAhead after `edge`; they may lie across two cache lines.
  DEGREEQUANT_INLINE void ask(const void* base, int64_t stride, int64_t bytes, int64_t edge) const noexcept {
    const int64_t ahead = edge + kGatherAhead < last_edge ? edge + kGatherAhead : last_edge;
    const char* p = static_cast<const char*>(base) + indices[ahead] * stride;
    __builtin_prefetch(p);
    __builtin_prefetch(p + bytes - 1);
  }
};

}  // namespace degreequant
