// What the float kernels share: rows walked in blocks of columns whose accumulators stay in registers, and how an accumulator is finished.
#pragma once

#include "float_kernels.h"

namespace degreequant {

// A block of `vectors` vectors; with kPartial the last one has some lanes fewer.
template <int vectors, bool partial>
struct VectorBlock {
  static constexpr int kVectors = vectors;
  static constexpr bool kPartial = partial;
};

// Vectors in a block where other things take registers too.
template <typename Lanes>
constexpr int half_of() noexcept {
  return Lanes::kMaxVectors / 2;
}

template <int kMost, typename F>
DEGREEQUANT_INLINE void with_block(int64_t vectors, bool partial, F f) noexcept {
  if (vectors == kMost) {
    partial ? f(VectorBlock<kMost, true>{}) : f(VectorBlock<kMost, false>{});
  } else if constexpr (kMost > 1) {
    with_block<kMost - 1>(vectors, partial, f);
  }
}

// Calls f(block, first, count) for blocks of at most kMost vectors that cover the columns [begin, end).
template <typename Lanes, int kMost, typename F>
DEGREEQUANT_INLINE void for_vector_blocks(int64_t begin, int64_t end, F f) noexcept {
  constexpr int64_t kWhole = kMost * Lanes::kLanes;
  int64_t first = begin;
  for (; first + kWhole <= end; first += kWhole) f(VectorBlock<kMost, false>{}, first, kWhole);
  const int64_t left = end - first;
  if (left <= 0) return;
  with_block<kMost>((left + Lanes::kLanes - 1) / Lanes::kLanes, left % Lanes::kLanes != 0,
                    [&](auto block) DEGREEQUANT_INLINE_LAMBDA { f(block, first, left); });
}

// The vectors of a block of columns: of matrices in memory, and of the accumulators.
template <typename Lanes, typename Block>
struct ColumnBlock {
  using Vector = typename Lanes::Vector;
  static constexpr int kVectors = Block::kVectors;

  int64_t first;
  int64_t count;

  DEGREEQUANT_INLINE static constexpr bool whole(int v) noexcept { return !Block::kPartial || v + 1 < kVectors; }
  DEGREEQUANT_INLINE int64_t lanes(int v) const noexcept { return count - v * Lanes::kLanes; }

  // Vector v of the row that begins at `row`.
  DEGREEQUANT_INLINE Vector load(const float* row, int v) const noexcept {
    const float* p = row + first + v * Lanes::kLanes;
    return whole(v) ? Lanes::load(p) : Lanes::load_some(p, lanes(v));
  }
  DEGREEQUANT_INLINE void store(float* row, int v, Vector value) const noexcept {
    float* p = row + first + v * Lanes::kLanes;
    whole(v) ? Lanes::store(p, value) : Lanes::store_some(p, lanes(v), value);
  }

  DEGREEQUANT_INLINE Vector finish(const FloatFinish& rule, int v, Vector acc) const noexcept {
    if (rule.scale != nullptr && rule.bias != nullptr) {
      acc = Lanes::fma(acc, load(rule.scale, v), load(rule.bias, v));
    } else if (rule.scale != nullptr) {
      acc = Lanes::multiply(acc, load(rule.scale, v));
    } else if (rule.bias != nullptr) {
      acc = Lanes::add(acc, load(rule.bias, v));
    }
    return rule.relu ? Lanes::maximum(acc, Lanes::set(0.0F)) : acc;
  }
};

// Asks for the gathered rows of later edges before they are needed.
struct RowPrefetcher {
  const int32_t* indices;
  int64_t last_edge;  // of the rows to be computed: none is asked for beyond it

  DEGREEQUANT_INLINE RowPrefetcher(const Csr& csr, int64_t end) noexcept : indices(csr.indices), last_edge(csr.indptr[end] - 1) {}

  // `kLines` cache lines from column `first` on of the row that is gathered kAhead edges after `edge`.
  template <int64_t kAhead, int64_t kLines>
  DEGREEQUANT_INLINE void ask(const Floats& x, int64_t first, int64_t edge) const noexcept {
    const int64_t ahead = edge + kAhead < last_edge ? edge + kAhead : last_edge;
    const char* p = reinterpret_cast<const char*>(x.data + indices[ahead] * x.cols + first);
    for (int64_t line = 0; line < kLines; ++line) __builtin_prefetch(p + 64 * line);
  }

  template <typename Lanes, typename Block>
  DEGREEQUANT_INLINE void ask_block(const Floats& x, int64_t first, int64_t edge) const noexcept {
    constexpr int64_t kBytes = Block::kVectors * Lanes::kLanes * 4;
    constexpr int64_t kLines = (kBytes + 63) / 64;
    ask<kLines <= 2 ? 12 : kLines <= 4 ? 8 : 4, kLines>(x, first, edge);
  }
};

}  // namespace degreequant
