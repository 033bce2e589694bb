// The matrix product in float32: a few rows of x times a panel of the packed weight, whose sums stay in registers over all inputs.
#pragma once

#include "float_rows.h"

namespace degreequant {

constexpr int kPanelVectors = 2;

// Rows [row, row + kRows) and the columns of one panel, whose weights begin at `panel`.
template <typename Lanes, int kRows, typename Block>
[[gnu::noinline]] void float_tile(const Floats& x, const float* panel, const FloatFinish& finish, const MutableFloats& out, int64_t row,
                                  int64_t first, int64_t count) noexcept {
  using Vector = typename Lanes::Vector;
  constexpr int kVectors = Block::kVectors;
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = x.data + (row + r) * x.cols;
  Vector acc[kRows][kVectors];
  for (auto& sums : acc) {
    for (Vector& sum : sums) sum = Lanes::set(0.0F);
  }
  for (int64_t k = 0; k < x.cols; ++k) {
    Vector weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = Lanes::load(panel + k * kFloatBlock + v * Lanes::kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vector value = Lanes::set(rows[r][k]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Lanes::fma(value, weight[v], acc[r][v]);
    }
  }
  const ColumnBlock<Lanes, Block> columns = {first, count};
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) columns.store(out.data + (row + r) * out.cols, v, columns.finish(finish, v, acc[r][v]));
  }
}

// The largest tile of a power of two of rows that is smaller than kRows.
constexpr int smaller_tile(int rows) noexcept { return rows > 8 ? 8 : rows > 4 ? 4 : rows > 2 ? 2 : 1; }

// As float_tile, for any number of rows.
template <typename Lanes, int kRows, typename Block>
DEGREEQUANT_INLINE void float_tiles(int64_t rows, const Floats& x, const float* panel, const FloatFinish& finish, const MutableFloats& out,
                                    int64_t row, int64_t first, int64_t count) noexcept {
  for (; rows >= kRows; rows -= kRows, row += kRows) float_tile<Lanes, kRows, Block>(x, panel, finish, out, row, first, count);
  if constexpr (kRows > 1) {
    if (rows > 0) float_tiles<Lanes, smaller_tile(kRows), Block>(rows, x, panel, finish, out, row, first, count);
  }
}

template <typename Lanes>
void float_linear(Floats x, const FloatWeight& weight, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept {
  constexpr int64_t kPanel = kPanelVectors * Lanes::kLanes;
  static_assert(kFloatBlock % kPanel == 0);
  for (int64_t row = begin; row < end; row += Lanes::kGemmRows) {
    const int64_t rows = end - row < Lanes::kGemmRows ? end - row : Lanes::kGemmRows;
    for_vector_blocks<Lanes, kPanelVectors>(0, out.cols, [&](auto block, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      const float* panel = weight.packed + (first / kFloatBlock) * weight.in * kFloatBlock + first % kFloatBlock;
      float_tiles<Lanes, Lanes::kGemmRows, decltype(block)>(rows, x, panel, finish, out, row, first, count);
    });
  }
}

}  // namespace degreequant
