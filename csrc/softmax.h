// The weights of a row's edges, for some heads. The heads of an edge lie side by side, edge after edge, and vectors walk over them without
// regard to where an edge ends: what a lane needs of its head repeats with the number of heads.
#pragma once

#include "attention.h"

namespace degreequant {

constexpr int64_t kMinLanes = 8;
constexpr int64_t kMaxLanes = 16;
constexpr int64_t kBlockHeads = 64;                      // at a time
constexpr int64_t kHeadSlots = kBlockHeads + kMaxLanes;  // a whole vector may be read from any of them on
constexpr int64_t kChunkEdges = 256;                     // so many products of a weight and a byte fit an int32, when summed
constexpr int64_t kChunkWeights = 8192;
constexpr int64_t kDistances = 3 * 256;  // between any two sums of three logits
constexpr int32_t kUnitSlope = 1 << 15;  // of a LeakyReLU that changes nothing
constexpr int64_t kLogitsAhead = 12;     // edges ahead of which a row of logits is asked for
static_assert(kChunkEdges * INT16_MAX * UINT8_MAX <= INT32_MAX);
static_assert(kLogitsAhead < kIndexPadding);

// Logits of 8 bits that are summed: the row that each edge of a csr names, maybe one of the row of the csr, and maybe one for each edge in
// the order of the csr.
struct LogitSource {
  Csr csr;
  const uint8_t* rows;
  int64_t stride;         // of rows
  bool is_unsigned;       // whether rows are
  const int8_t* targets;  // row i at i * stride, or null
  const int8_t* edges;    // [edges, heads], or null
  int64_t heads;
  int32_t slope;         // of the LeakyReLU that the sum goes through, in 2^-15
  const int16_t* table;  // of the distances that there are
  int64_t distances;
};

// The heads [first, first + count), at most kBlockHeads.
struct BlockHeads {
  int64_t first;
  int64_t count;
  int64_t chunk;  // how many edges' weights are held at a time

  DEGREEQUANT_INLINE BlockHeads(int64_t first_head, int64_t heads) noexcept
      : first(first_head), count(heads), chunk(heads <= kChunkWeights / kChunkEdges ? kChunkEdges : kChunkWeights / heads) {}
};

// Copies a few bytes, by overlapping moves instead of a loop over them.
DEGREEQUANT_INLINE void copy_few(int8_t* to, const void* source, int64_t count) noexcept {
  const int8_t* from = static_cast<const int8_t*>(source);
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

// Repeats the first `count` of kHeadSlots values up to a vector beyond them.
DEGREEQUANT_INLINE void repeat_heads(int32_t* values, int64_t count) noexcept {
  for (int64_t i = count; i < count + kMaxLanes; ++i) values[i] = values[i - count];
}

// Calls f(i, head) for vectors of the heads of `edges` edges: lane 0 is number i, and of that head.
template <typename Simd, typename F>
DEGREEQUANT_INLINE void for_head_vectors(int64_t heads, int64_t edges, F f) noexcept {
  const int64_t step = Simd::kLanes % heads;
  int64_t head = 0;
  for (int64_t i = 0; i < edges * heads; i += Simd::kLanes) {
    f(i, head);
    head += step;
    if (head >= heads) head -= heads;
  }
}

// Working memory of one thread. Vectors are read beyond what counts, but no lane beyond counts.
template <typename Simd>
class Softmax {
 public:
  using Vector = typename Simd::Vector;

  int32_t weights[kChunkWeights + kHeadSlots];  // of the edges of a chunk
  int32_t chunk_den[kHeadSlots];                // their sums

  DEGREEQUANT_INLINE explicit Softmax(const LogitSource& source) noexcept : source_(source) {
    for (int64_t d = 0; d < kDistances; ++d) table_[d] = d < source.distances ? source.table[d] : 0;
  }

  // Finds the largest logit of each head over the edges of a row.
  [[gnu::noinline]] void start(int64_t row, BlockHeads heads) noexcept {
    const int64_t begin = source_.csr.indptr[row];
    const int64_t end = source_.csr.indptr[row + 1];
    const int8_t* target = source_.targets == nullptr ? nullptr : source_.targets + row * source_.stride + heads.first;
    for (int64_t h = 0; h < heads.count; ++h) {
      target_[h] = target == nullptr ? 0 : target[h];
      largest_[h] = 3 * INT8_MIN;
      den_[h] = 0;
    }
    repeat_heads(target_, heads.count);
    for (int64_t first = begin; first < end; first += heads.chunk) {
      const int64_t edges = end - first < heads.chunk ? end - first : heads.chunk;
      gather(heads, first, edges);
      reduce(heads, edges, largest_, [](Vector a, Vector b) { return Simd::maximum(a, b); });
    }
    for (int64_t h = 0; h < heads.count; ++h) largest_[h] = leaky_relu(largest_[h], source_.slope);
    repeat_heads(largest_, heads.count);
    gathered_ = end - begin <= heads.chunk;
  }

  // Computes the weights of `edges` edges from `begin` on, at most heads.chunk, and their sums.
  [[gnu::noinline]] void weigh(BlockHeads heads, int64_t begin, int64_t edges) noexcept {
    if (!gathered_) gather(heads, begin, edges);
    const Vector slope = Simd::set(source_.slope);
    for_head_vectors<Simd>(heads.count, edges, [&](int64_t i, int64_t head) DEGREEQUANT_INLINE_LAMBDA {
      const Vector logit = Simd::load(weights + i);
      // Rounded to the nearest: exact for a negative logit, whose halves go down, and not above any other.
      const Vector scaled = Simd::shift_right(Simd::add(Simd::multiply(logit, slope), Simd::set((1 << 14) - 1)), 15);
      const Vector distance = Simd::subtract(Simd::load(largest_ + head), Simd::maximum(logit, scaled));
      Simd::store(weights + i, Simd::look_up(table_, Simd::limited(distance, kDistances - 1)));  // of lanes beyond the last edge any
    });
    for (int64_t h = 0; h < heads.count; ++h) chunk_den[h] = 0;
    reduce(heads, edges, chunk_den, [](Vector a, Vector b) { return Simd::add(a, b); });
    for (int64_t h = 0; h < heads.count; ++h) den_[h] += chunk_den[h];
  }

  // 1 / the sum of the weights of all edges that were weighed.
  DEGREEQUANT_INLINE Multiplier share(int64_t head) const noexcept { return reciprocal(den_[head]); }

 private:
  LogitSource source_;
  int32_t table_[kDistances];
  int8_t sources_[kChunkWeights + kHeadSlots];  // logits of the edges of a chunk
  int8_t edges_[kChunkWeights + kHeadSlots];
  int32_t target_[kHeadSlots];  // repeated, as largest_, up to a vector beyond the last head
  int32_t largest_[kHeadSlots];
  int64_t den_[kBlockHeads];
  bool gathered_;  // one chunk holds the whole row

  // Puts the logits before the LeakyReLU where the weights will be.
  DEGREEQUANT_INLINE void gather(BlockHeads heads, int64_t begin, int64_t edges) noexcept {
    const int32_t* indices = source_.csr.indices + begin;
    const uint8_t* rows = source_.rows + heads.first;
    for (int64_t e = 0; e < edges; ++e) {
      __builtin_prefetch(rows + source_.stride * indices[e + kLogitsAhead]);
      copy_few(sources_ + e * heads.count, rows + source_.stride * indices[e], heads.count);
    }
    const bool with_edges = source_.edges != nullptr;
    for (int64_t e = 0; with_edges && e < edges; ++e) {
      copy_few(edges_ + e * heads.count, source_.edges + (begin + e) * source_.heads + heads.first, heads.count);
    }
    for_head_vectors<Simd>(heads.count, edges, [&](int64_t i, int64_t head) DEGREEQUANT_INLINE_LAMBDA {
      const Vector own = source_.is_unsigned ? Simd::widen(reinterpret_cast<const uint8_t*>(sources_ + i)) : Simd::widen(sources_ + i);
      const Vector logit = Simd::add(own, Simd::load(target_ + head));
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
