// The weights of a row's edges, for the heads that a block of columns belongs to. Plain loops over heads: whatever includes this file is
// compiled for one instruction set, and their cost lies in the gathered logits and the table.
#pragma once

#include "attention.h"
#include "gather.h"

namespace degreequant {

constexpr int64_t kMaxLanes = 16;
constexpr int64_t kBlockHeads = kBlockColumns;            // at most: one column each
constexpr int64_t kHeadSlots = kBlockHeads + kMaxLanes;   // a whole vector may be read from any of them on
constexpr int64_t kChunkEdges = 256;                      // so many products of a weight and a byte fit an int32, when summed
constexpr int64_t kChunkWeights = 8192;
static_assert(kChunkEdges * INT16_MAX * UINT8_MAX <= INT32_MAX);

// The heads [first, first + count) of a block of columns, which begins at column `position` of the first of them.
struct BlockHeads {
  int64_t first;
  int64_t count;
  int32_t position;

  DEGREEQUANT_INLINE BlockHeads(const Attention& a, int64_t column, int64_t columns) noexcept {
    const uint32_t channels = static_cast<uint32_t>(a.channels());
    const uint32_t head = static_cast<uint32_t>(column) / channels;
    position = static_cast<int32_t>(static_cast<uint32_t>(column) - head * channels);
    first = head;
    count = (position + static_cast<uint32_t>(columns) - 1) / channels + 1;
  }

  // How many edges' weights are held at a time.
  DEGREEQUANT_INLINE int64_t chunk() const noexcept {
    const int64_t fitting = kChunkWeights / count;
    return fitting < kChunkEdges ? fitting : kChunkEdges;
  }
};

// Working memory of one thread: too large to clear for each block, and read by whole vectors, so it is cleared once.
struct Softmax {
  int32_t weights[kChunkWeights + kMaxLanes];  // of the edges of a chunk, the heads of an edge side by side
  int32_t chunk_den[kHeadSlots];               // their sums
  int64_t den[kHeadSlots];                     // over the whole row
  int32_t mantissa[kHeadSlots];                // of 1 / den
  int32_t shift[kHeadSlots];
  int32_t target[kBlockHeads];
  int32_t largest[kBlockHeads];

  // Finds the largest logit of each head over the edges of a row.
  DEGREEQUANT_INLINE void start(const Attention& a, const Prefetcher& prefetcher, int64_t row, BlockHeads heads) noexcept {
    const int8_t* sources = a.logits + heads.first;
    const int64_t stride = 2 * a.heads;
    for (int64_t h = 0; h < heads.count; ++h) {
      target[h] = sources[row * stride + a.heads + h];
      largest[h] = 2 * INT8_MIN;
      den[h] = 0;
    }
    for (int64_t e = a.csr.indptr[row]; e < a.csr.indptr[row + 1]; ++e) {
      prefetcher.ask(sources, stride, heads.count, e);
      const int8_t* source = sources + a.csr.indices[e] * stride;
      const int8_t* edge = a.edge_logits == nullptr ? nullptr : a.edge_logits + e * a.heads + heads.first;
      for (int64_t h = 0; h < heads.count; ++h) {
        const int32_t logit = source[h] + (edge == nullptr ? 0 : edge[h]);
        largest[h] = logit > largest[h] ? logit : largest[h];
      }
    }
    for (int64_t h = 0; h < heads.count; ++h) largest[h] = leaky_relu(largest[h] + target[h], a.slope);
  }

  // Writes the weights of the edges [begin, end), at most heads.chunk() of them, and sums them.
  DEGREEQUANT_INLINE void weigh(const Attention& a, BlockHeads heads, int64_t begin, int64_t end) noexcept {
    const int8_t* sources = a.logits + heads.first;
    for (int64_t h = 0; h < heads.count; ++h) chunk_den[h] = 0;
    int32_t* weight = weights;
    for (int64_t e = begin; e < end; ++e, weight += heads.count) {
      const int8_t* source = sources + a.csr.indices[e] * 2 * a.heads;
      const int8_t* edge = a.edge_logits == nullptr ? nullptr : a.edge_logits + e * a.heads + heads.first;
      for (int64_t h = 0; h < heads.count; ++h) {
        const int32_t logit = source[h] + target[h] + (edge == nullptr ? 0 : edge[h]);
        weight[h] = a.table[largest[h] - leaky_relu(logit, a.slope)];
        chunk_den[h] += weight[h];
      }
    }
    for (int64_t h = 0; h < heads.count; ++h) den[h] += chunk_den[h];
  }

  DEGREEQUANT_INLINE void invert(BlockHeads heads) noexcept {
    for (int64_t h = 0; h < heads.count; ++h) {
      const Multiplier m = reciprocal(den[h]);
      mantissa[h] = m.mantissa;
      shift[h] = m.shift;
    }
  }
};

}  // namespace degreequant
