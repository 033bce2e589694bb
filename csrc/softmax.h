// The weights of a row's edges, for the heads that a block of columns belongs to. The heads of an edge lie side by side, edge after edge,
// and vectors walk over them without regard to where an edge ends: what a lane needs of its head repeats with the number of heads.
#pragma once

#include "attention.h"
#include "gather.h"

namespace degreequant {

constexpr int64_t kMaxLanes = 16;
constexpr int64_t kBlockHeads = kBlockColumns;           // at most: one column each
constexpr int64_t kHeadSlots = kBlockHeads + kMaxLanes;  // a whole vector may be read from any of them on
constexpr int64_t kChunkEdges = 256;                     // so many products of a weight and a byte fit an int32, when summed
constexpr int64_t kChunkWeights = 8192;
constexpr int64_t kDistances = 3 * 256;  // between any two sums of three logits
static_assert(kChunkEdges * INT16_MAX * UINT8_MAX <= INT32_MAX);

// The heads [first, first + count) of a block of columns, which begins at column `position` of the first of them.
struct BlockHeads {
  int64_t first;
  int64_t count;
  int64_t position;
  int64_t chunk;  // how many edges' weights are held at a time

  DEGREEQUANT_INLINE BlockHeads(const Attention& a, int64_t column, int64_t columns) noexcept {
    const uint32_t channels = static_cast<uint32_t>(a.channels());
    first = static_cast<uint32_t>(column) / channels;
    position = column - first * channels;
    count = static_cast<uint32_t>(position + columns - 1) / channels + 1;
    chunk = count <= kChunkWeights / kChunkEdges ? kChunkEdges : kChunkWeights / count;
  }
};

// Copies a few bytes, by overlapping moves instead of a loop over them.
DEGREEQUANT_INLINE void copy_few(int8_t* to, const int8_t* from, int64_t count) noexcept {
  if (count >= 8) {
    for (int64_t i = 0; i + 8 < count; i += 8) __builtin_memcpy(to + i, from + i, 8);
    __builtin_memcpy(to + count - 8, from + count - 8, 8);
  } else if (count >= 4) {
    __builtin_memcpy(to, from, 4);
    __builtin_memcpy(to + count - 4, from + count - 4, 4);
  } else if (count >= 2) {
    __builtin_memcpy(to, from, 2);
    __builtin_memcpy(to + count - 2, from + count - 2, 2);
  } else {
    *to = *from;
  }
}

// Working memory of one thread, zeros at first: vectors are read beyond what counts. Compiled once for each Simd, that is for each
// instruction set.
template <typename Simd>
class Softmax {
 public:
  using Vector = typename Simd::Vector;

  int32_t weights[kChunkWeights + kHeadSlots];  // of the edges of a chunk
  int32_t chunk_den[kHeadSlots];                // their sums
  int32_t mantissa[kHeadSlots];                 // of 1 / den, over the whole row
  int32_t shift[kHeadSlots];

  DEGREEQUANT_INLINE Softmax(const Attention& a, const Prefetcher& prefetcher) noexcept
      : weights{}, chunk_den{}, mantissa{}, shift{}, attention_(a), prefetcher_(prefetcher) {
    const int64_t distances = a.edge_logits == nullptr ? 256 : 511;
    for (int64_t d = 0; d < distances; ++d) table_[d] = a.table[d];
  }

  DEGREEQUANT_INLINE Multiplier factor(int64_t head) const noexcept { return {mantissa[head], shift[head]}; }

  // Finds the largest logit of each head over the edges of a row.
  [[gnu::noinline]] void start(int64_t row, BlockHeads heads) noexcept {
    const int64_t begin = attention_.csr.indptr[row];
    const int64_t end = attention_.csr.indptr[row + 1];
    const int8_t* target = attention_.logits + (2 * row + 1) * attention_.heads + heads.first;
    for (int64_t i = 0; i < heads.count + kMaxLanes; ++i) target_[i] = i < heads.count ? target[i] : target_[i - heads.count];
    for (int64_t h = 0; h < heads.count; ++h) {
      largest_[h] = 3 * INT8_MIN;
      den_[h] = 0;
    }
    for (int64_t first = begin; first < end; first += heads.chunk) {
      const int64_t edges = end - first < heads.chunk ? end - first : heads.chunk;
      gather(heads, first, edges);
      reduce(heads, edges, largest_, [](Vector a, Vector b) { return Simd::maximum(a, b); });
    }
    for (int64_t i = 0; i < heads.count + kMaxLanes; ++i) {
      largest_[i] = i < heads.count ? leaky_relu(largest_[i], attention_.slope) : largest_[i - heads.count];
    }
    gathered_ = end - begin <= heads.chunk;
  }

  // Computes the weights of `edges` edges from `begin` on, at most heads.chunk, and their sums.
  [[gnu::noinline]] void weigh(BlockHeads heads, int64_t begin, int64_t edges) noexcept {
    if (!gathered_) gather(heads, begin, edges);
    const Vector slope = Simd::set(attention_.slope);
    for_vectors(heads, edges, [&](int64_t i, int64_t head) DEGREEQUANT_INLINE_LAMBDA {
      const Vector logit = Simd::load(weights + i);
      // Rounded to the nearest: exact for a negative logit, whose halves go down, and not above any other.
      const Vector scaled = Simd::shift_right(Simd::add(Simd::multiply(logit, slope), Simd::set((1 << 14) - 1)), 15);
      const Vector distance = Simd::subtract(Simd::load(largest_ + head), Simd::maximum(logit, scaled));
      // Lanes beyond the last edge hold what was there before, logits or weights: their distances are limited to the table.
      Simd::store(weights + i, Simd::look_up(table_, Simd::maximum(distance, Simd::set(0))));
    });
    for (int64_t h = 0; h < heads.count; ++h) chunk_den[h] = 0;
    reduce(heads, edges, chunk_den, [](Vector a, Vector b) { return Simd::add(a, b); });
    for (int64_t h = 0; h < heads.count; ++h) den_[h] += chunk_den[h];
  }

  DEGREEQUANT_INLINE void invert(BlockHeads heads) noexcept {
    for (int64_t h = 0; h < heads.count; ++h) {
      const Multiplier m = reciprocal(den_[h]);
      mantissa[h] = m.mantissa;
      shift[h] = m.shift;
    }
  }

 private:
  Attention attention_;
  Prefetcher prefetcher_;
  int32_t table_[kDistances] = {};
  int8_t sources_[kChunkWeights + kHeadSlots] = {};  // logits of the edges of a chunk
  int8_t edges_[kChunkWeights + kHeadSlots] = {};
  int32_t target_[kHeadSlots] = {};  // repeated, as largest_, up to a vector beyond the last head
  int32_t largest_[kHeadSlots] = {};
  int64_t den_[kBlockHeads];
  bool gathered_;  // one chunk holds the whole row

  // Calls f(i, head) for vectors of the heads of `edges` edges: lane 0 is number i, and of that head.
  template <typename F>
  DEGREEQUANT_INLINE static void for_vectors(BlockHeads heads, int64_t edges, F f) noexcept {
    const int64_t step = Simd::kLanes % heads.count;
    int64_t head = 0;
    for (int64_t i = 0; i < edges * heads.count; i += Simd::kLanes) {
      f(i, head);
      head += step;
      if (head >= heads.count) head -= heads.count;
    }
  }

  // Puts the logits before the LeakyReLU where the weights will be.
  DEGREEQUANT_INLINE void gather(BlockHeads heads, int64_t begin, int64_t edges) noexcept {
    const int64_t stride = 2 * attention_.heads;
    const int8_t* sources = attention_.logits + heads.first;
    for (int64_t e = 0; e < edges; ++e) {
      prefetcher_.ask(sources, stride, heads.count, begin + e);
      copy_few(sources_ + e * heads.count, sources + stride * attention_.csr.indices[begin + e], heads.count);
    }
    const bool with_edges = attention_.edge_logits != nullptr;
    for (int64_t e = 0; with_edges && e < edges; ++e) {
      copy_few(edges_ + e * heads.count, attention_.edge_logits + (begin + e) * attention_.heads + heads.first, heads.count);
    }
    for_vectors(heads, edges, [&](int64_t i, int64_t head) DEGREEQUANT_INLINE_LAMBDA {
      const Vector logit = Simd::add(Simd::widen(sources_ + i), Simd::load(target_ + head));
      Simd::store(weights + i, with_edges ? Simd::add(logit, Simd::widen(edges_ + i)) : logit);
    });
  }

  // Combines what `weights` holds of each head with `result`.
  template <typename F>
  DEGREEQUANT_INLINE void reduce(BlockHeads heads, int64_t edges, int32_t* result, F combine) noexcept {
    for (int64_t h = 0; h < heads.count; h += Simd::kLanes) {
      Vector sum = Simd::load(result + h);
      for (int64_t e = 0; e < edges; ++e) sum = combine(sum, Simd::load(weights + e * heads.count + h));
      Simd::store(result + h, sum);
    }
  }
};

}  // namespace degreequant
