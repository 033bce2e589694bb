// How attention walks a matrix: in blocks of columns, whose accumulators stay in registers while a row's edges are walked.
#pragma once

#include "kernels.h"

namespace degreequant {

constexpr int64_t kTileColumns = 32;  // in a tile; its codes of any type begin on a byte
constexpr int kMaxTiles = 2;          // in the widest block

// Calls f(Index<tiles>, first, count) for blocks of tiles that cover the columns [0, columns); the last may have some columns fewer.
template <typename F>
DEGREEQUANT_INLINE void for_column_blocks(int64_t columns, F f) noexcept {
  constexpr int64_t kWhole = kMaxTiles * kTileColumns;
  int64_t first = 0;
  for (; columns - first > kTileColumns; first += kWhole) f(Index<kMaxTiles>{}, first, columns - first < kWhole ? columns - first : kWhole);
  if (first < columns) f(Index<1>{}, first, columns - first);
}

// Columns [first, first + count) of every row of a matrix.
struct ColumnBlock {
  const uint8_t* base;  // of row 0
  int64_t stride;
  int64_t bytes;
  const uint8_t* end;  // of the matrix

  DEGREEQUANT_INLINE ColumnBlock(Codes x, int64_t first, int64_t count) noexcept
      : base(x.data + row_bytes(x.type, first)), stride(x.stride), bytes(row_bytes(x.type, count)), end(x.end()) {}

  DEGREEQUANT_INLINE const uint8_t* row(int64_t i) const noexcept { return base + i * stride; }

  // They may lie across two cache lines.
  DEGREEQUANT_INLINE void prefetch(int64_t i) const noexcept {
    __builtin_prefetch(row(i));
    __builtin_prefetch(row(i) + bytes - 1);
  }
};

// A row of a block, for sets that cannot mask a load: where kBytes would reach beyond the matrix, a copy.
template <int64_t kBytes>
class WholeBlock {
 public:
  DEGREEQUANT_INLINE WholeBlock(const ColumnBlock& block, int64_t i) noexcept : p_(block.row(i)) {
    if (block.end - p_ >= kBytes) return;
    for (int64_t k = 0; k < kBytes; ++k) copy_[k] = k < block.bytes ? p_[k] : 0;
    p_ = copy_;
  }
  DEGREEQUANT_INLINE const uint8_t* data() const noexcept { return p_; }

 private:
  const uint8_t* p_;
  alignas(16) uint8_t copy_[kBytes];
};

}  // namespace degreequant
