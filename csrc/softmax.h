// The weights of a row's edges, for a group of heads. Each edge has as many slots as there are heads, rounded up to a power of two, or to
// whole vectors: so every vector holds the heads in the same order, and what a head has of its edges is combined vector by vector.
#pragma once

#include "attention.h"

namespace degreequant {

constexpr int64_t kMinLanes = 8;
constexpr int64_t kMaxLanes = 16;
constexpr int64_t kGroupHeads = 64;                      // at most, of a group
constexpr int64_t kHeadSlots = kGroupHeads + kMaxLanes;  // a whole vector may be read from any head on
constexpr int64_t kChunkEdges = 256;                     // so many products of a weight and a byte fit an int32, when summed
constexpr int64_t kChunkWeights = 8192;
constexpr int64_t kDistances = 3 * 256;   // between any two sums of three logits
constexpr int32_t kUnitSlope = 1 << 15;   // of a LeakyReLU that changes nothing
constexpr int32_t kLeast = 3 * INT8_MIN;  // sum of three logits
constexpr int64_t kLogitsAhead = 12;      // edges ahead of which a row of logits is asked for
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
  Codes edges;            // i8 [edges, heads]; data null without
  int64_t heads;
  int32_t slope;         // of the LeakyReLU that the sum goes through, in 2^-15
  const int16_t* table;  // of the distances that there are
  int64_t distances;
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

// Working memory of one thread. What lies in slots beyond the heads is undefined, and counts nowhere.
template <typename Simd>
class Softmax {
 public:
  using Vector = typename Simd::Vector;
  static constexpr int64_t kLanes = Simd::kLanes;

  int32_t weights[kChunkWeights + kHeadSlots];   // of the edges of a chunk, [edge][slot]
  int32_t pairs[kChunkWeights / 2 + kMaxLanes];  // the same of two edges each, in the halves of an int32; 0 where there is no second one
  int32_t chunk_total[kHeadSlots];               // sum of a chunk's weights
  int32_t mantissa[kHeadSlots];                  // of 1 / the sum of all weights
  int32_t shift[kHeadSlots];

  DEGREEQUANT_INLINE explicit Softmax(const LogitSource& source) noexcept
      : source_(source), far_(source), near_(far_.weights, Table::kEntries) {}
  Softmax(const Softmax&) = delete;  // one table may refer to the other
  Softmax& operator=(const Softmax&) = delete;

  // From here on the heads [first, first + count), at most kGroupHeads.
  DEGREEQUANT_INLINE void choose(int64_t first, int64_t count) noexcept {
    first_ = first;
    count_ = count;
    slots_ = (count + kLanes - 1) / kLanes * kLanes;
    while (slots_ <= kLanes && slots_ / 2 >= count) slots_ /= 2;
    chunk_ = kChunkWeights / slots_ / 2 * 2 < kChunkEdges ? kChunkWeights / slots_ / 2 * 2 : kChunkEdges;
    for (int32_t i = 0; i < kLanes; ++i) {
      const int32_t slots = static_cast<int32_t>(slots_);
      slot_[i] = i % slots;
      first_of_pair_[i] = 2 * i - slot_[i];
      second_of_pair_[i] = first_of_pair_[i] + slots;
    }
  }
  DEGREEQUANT_INLINE int64_t first_head() const noexcept { return first_; }
  DEGREEQUANT_INLINE int64_t heads() const noexcept { return count_; }
  DEGREEQUANT_INLINE int64_t slots() const noexcept { return slots_; }
  DEGREEQUANT_INLINE int64_t chunk() const noexcept { return chunk_; }  // how many edges' weights are held at a time

  // Finds the largest logit of each head over the edges of a row.
  [[gnu::noinline]] void start(int64_t row) noexcept {
    const int64_t begin = source_.csr.indptr[row];
    const int64_t end = source_.csr.indptr[row + 1];
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      Simd::store(largest_ + h, Simd::set(kLeast));
      for (int64_t i = h; i < h + kLanes; ++i) total_[i] = 0;
    });
    load_target(row);
    for (int64_t first = begin; first < end; first += chunk_) {
      const int64_t edges = end - first < chunk_ ? end - first : chunk_;
      gather(first, edges);
      combine(edges, largest_, [](Vector a, Vector b) DEGREEQUANT_INLINE_LAMBDA { return Simd::maximum(a, b); });
    }
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA { Simd::store(largest_ + h, leaky(Simd::load(largest_ + h))); });
    is_gathered_ = end - begin <= chunk_;
  }

  // Computes the weights of `edges` edges from `begin` on, at most chunk(), alone and in pairs, and adds them up.
  [[gnu::noinline]] void weigh(int64_t begin, int64_t edges) noexcept {
    if (!is_gathered_) gather(begin, edges);
    const int64_t count = edges * slots_;
    for_vectors(edges, [&](int64_t i, int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      const Vector distance = Simd::subtract(Simd::load(largest_ + h), leaky(Simd::load(weights + i)));
      Simd::store(weights + i, Simd::keep(weight_of(distance), count - i, Simd::set(0)));
    });
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA { Simd::store(chunk_total + h, Simd::set(0)); });
    combine(edges, chunk_total, [](Vector a, Vector b) DEGREEQUANT_INLINE_LAMBDA { return Simd::add(a, b); });
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      for (int64_t i = h; i < h + kLanes; ++i) total_[i] += chunk_total[i];
    });
    make_pairs(edges);
  }

  // Finds 1 / the sum of the weights of all edges that were weighed; 0 where there are none.
  DEGREEQUANT_INLINE void invert() noexcept {
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA { Simd::store_reciprocals(total_ + h, mantissa + h, shift + h); });
  }

  // Calls f(h) for vectors of the slots; with fewer slots than lanes they repeat in the one that there is.
  template <typename F>
  DEGREEQUANT_INLINE void for_heads(F f) const noexcept {
    for (int64_t h = 0; h < slots_; h += kLanes) f(h);
  }

  // Calls f(i, h) for vectors of the slots of `edges` edges: lane 0 is number i, and of slot h.
  template <typename F>
  DEGREEQUANT_INLINE void for_vectors(int64_t edges, F f) const noexcept {
    int64_t h = 0;
    for (int64_t i = 0; i < edges * slots_; i += kLanes) {
      f(i, h);
      h = h + kLanes < slots_ ? h + kLanes : 0;
    }
  }

 private:
  using Table = typename Simd::Table;

  // The weight of every distance, 0 where there is none.
  struct Far {
    int32_t weights[kDistances];

    DEGREEQUANT_INLINE explicit Far(const LogitSource& source) noexcept {
      for (int64_t d = 0; d < kDistances; ++d) weights[d] = d < source.distances ? source.table[d] : 0;
    }
  };

  LogitSource source_;
  Far far_;
  Table near_;  // of the distances that there are without logits of the edges
  int64_t first_ = 0;
  int64_t count_ = 0;
  int64_t slots_ = 0;
  int64_t chunk_ = 0;
  bool is_gathered_ = false;                    // one chunk holds the whole row
  int8_t sources_[kChunkWeights + kHeadSlots];  // logits of the edges of a chunk
  int8_t edges_[kChunkWeights + kHeadSlots];
  int32_t target_[kHeadSlots];
  int32_t largest_[kHeadSlots];
  int64_t total_[kHeadSlots];
  int32_t slot_[kMaxLanes];           // of the lanes of a row's first vector
  int32_t first_of_pair_[kMaxLanes];  // lanes of a vector, where it holds several edges
  int32_t second_of_pair_[kMaxLanes];

  // Rounded to the nearest: exact for a negative logit, whose halves go down, and not above any other.
  DEGREEQUANT_INLINE Vector leaky(Vector logit) const noexcept {
    const Vector product = Simd::multiply(logit, Simd::set(source_.slope));
    return Simd::maximum(logit, Simd::shift_right(Simd::add(product, Simd::set((1 << 14) - 1)), 15));
  }

  DEGREEQUANT_INLINE void load_target(int64_t row) noexcept {
    if (source_.targets == nullptr) {
      for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA { Simd::store(target_ + h, Simd::set(0)); });
      return;
    }
    const uint8_t* logits = reinterpret_cast<const uint8_t*>(source_.targets) + row * source_.stride + first_;
    const Vector slot = Simd::load(slot_);
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      Simd::store(target_ + h, Simd::permute(Simd::widen_flipped(logits + h, count_ - h, 0), slot));
    });
  }

  // Of lanes that hold a logit; others get any.
  DEGREEQUANT_INLINE Vector weight_of(Vector distance) const noexcept {
    if (source_.distances <= Table::kEntries) return near_.look_up(Simd::limited(distance, Table::kEntries - 1));
    return Simd::look_up(far_.weights, Simd::limited(distance, kDistances - 1));
  }

  // Puts the logits before the LeakyReLU where the weights will be.
  DEGREEQUANT_INLINE void gather(int64_t begin, int64_t edges) noexcept {
    const int32_t* indices = source_.csr.indices + begin;
    const uint8_t* rows = source_.rows + first_;
    for (int64_t e = 0; e < edges; ++e) {
      __builtin_prefetch(rows + source_.stride * indices[e + kLogitsAhead]);
      copy_few(sources_ + e * slots_, rows + source_.stride * indices[e], count_);
    }
    const bool with_edges = source_.edges.data != nullptr;
    for (int64_t e = 0; with_edges && e < edges; ++e) {
      copy_few(edges_ + e * slots_, source_.edges.row(begin + e) + first_, count_);
    }
    const int64_t count = edges * slots_;
    for_vectors(edges, [&](int64_t i, int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      const Vector own = source_.is_unsigned ? Simd::widen(reinterpret_cast<const uint8_t*>(sources_ + i)) : Simd::widen(sources_ + i);
      Vector logit = Simd::add(own, Simd::load(target_ + h));
      if (with_edges) logit = Simd::add(logit, Simd::widen(edges_ + i));
      Simd::store(weights + i, Simd::keep(logit, count - i, Simd::set(kLeast)));
    });
  }

  // Combines what `weights` holds of each head with `result`.
  template <typename F>
  DEGREEQUANT_INLINE void combine(int64_t edges, int32_t* result, F f) noexcept {
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      Vector all = Simd::load(result + h);
      const int64_t stride = slots_ > kLanes ? slots_ : kLanes;
      for (int64_t i = h; i < edges * slots_; i += stride) all = f(all, Simd::load(weights + i));
      for (int64_t step = slots_; step < kLanes; step *= 2) all = f(all, Simd::rotate(all, static_cast<int32_t>(step)));
      Simd::store(result + h, all);
    });
  }

  DEGREEQUANT_INLINE void make_pairs(int64_t edges) noexcept {
    const auto join = [](Vector a, Vector b) DEGREEQUANT_INLINE_LAMBDA { return Simd::add(a, Simd::shift_left(b, 16)); };
    if (slots_ < kLanes) {
      const Vector first = Simd::load(first_of_pair_), second = Simd::load(second_of_pair_);
      for (int64_t i = 0; i < edges * slots_; i += kLanes) {
        const Vector several = Simd::load(weights + i);
        Simd::store(pairs + i / 2, join(Simd::permute(several, first), Simd::permute(several, second)));
      }
      return;
    }
    for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
      Simd::store(weights + edges * slots_ + h, Simd::set(0));
      for (int64_t e = 0; e < edges; e += 2) {
        const int32_t* of = weights + e * slots_ + h;
        Simd::store(pairs + e / 2 * slots_ + h, join(Simd::load(of), Simd::load(of + slots_)));
      }
    });
  }
};

}  // namespace degreequant
