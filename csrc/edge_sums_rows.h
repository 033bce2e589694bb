// The loops of edge_sums.h, on the vectors that float_lanes.h describes.
#pragma once

#include <algorithm>

#include "edge_sums.h"
#include "float_lanes.h"

namespace degreequant {

template <typename Lanes>
struct EdgeSums {
  using Vector = typename Lanes::Vector;

  static constexpr int64_t kPartialSums = 16;  // of a dot product: its order is one for all numbers of lanes
  static constexpr int kHeadsAtOnce = 4;
  static constexpr int64_t kPartialVectors = kPartialSums / Lanes::kLanes;
  static_assert(kPartialVectors * Lanes::kLanes == kPartialSums);

  // The sums of one row over `count` of each head's channels from `first` on, for so many heads: so many vectors each, the last one open.
  template <int heads, int vectors>
  DEGREEQUANT_INLINE static void sum_block(const HeadRows& x, const float* weight, const EdgesByRow& at, int64_t row, int64_t head,
                                           int64_t first, int64_t count, float* out) noexcept {
    constexpr int64_t kLast = (vectors - 1) * Lanes::kLanes;
    const int64_t begin = head * x.channels + first;
    Vector sums[heads][vectors];
    for (auto& of_head : sums) {
      for (Vector& sum : of_head) sum = Lanes::set(0.0F);
    }
    for (int64_t k = at.begins[row]; k < at.begins[row + 1]; ++k) {
      const float* source = x.row(at.others[k]) + begin;
      const float* weights = weight + at.edges[k] * x.heads + head;
      for (int h = 0; h < heads; ++h, source += x.channels) {
        const Vector w = Lanes::set(weights[h]);
        for (int v = 0; v < vectors - 1; ++v) add_product(sums[h][v], w, Lanes::load(source + v * Lanes::kLanes));
        add_product(sums[h][vectors - 1], w, Lanes::load_some(source + kLast, count - kLast));
      }
    }
    float* to = out + row * x.heads * x.channels + begin;
    for (int h = 0; h < heads; ++h, to += x.channels) {
      for (int v = 0; v < vectors - 1; ++v) Lanes::store(to + v * Lanes::kLanes, sums[h][v]);
      Lanes::store_some(to + kLast, count - kLast, sums[h][vectors - 1]);
    }
  }

  DEGREEQUANT_INLINE static void add_product(Vector& sum, Vector a, Vector b) noexcept { sum = Lanes::add(sum, Lanes::multiply(a, b)); }

  template <int heads>
  DEGREEQUANT_INLINE static void sum_heads(const HeadRows& x, const float* weight, const EdgesByRow& at, int64_t row, int64_t head,
                                           float* out) noexcept {
    constexpr int64_t kPair = 2 * Lanes::kLanes;
    for (int64_t first = 0; first < x.channels; first += kPair) {
      const int64_t count = std::min(kPair, x.channels - first);
      if (count > Lanes::kLanes) {
        sum_block<heads, 2>(x, weight, at, row, head, first, count, out);
      } else {
        sum_block<heads, 1>(x, weight, at, row, head, first, count, out);
      }
    }
  }

  static void sum(const HeadRows& x, const float* weight, const EdgesByRow& at, float* out, int64_t begin, int64_t end) noexcept {
    for (int64_t row = begin; row < end; ++row) {
      int64_t head = 0;
      for (; head + kHeadsAtOnce <= x.heads; head += kHeadsAtOnce) sum_heads<kHeadsAtOnce>(x, weight, at, row, head, out);
      for (; head < x.heads; ++head) sum_heads<1>(x, weight, at, row, head, out);
    }
  }

  // Channel c is added to partial sum c mod kPartialSums; then halves onto halves.
  DEGREEQUANT_INLINE static float dot_of(const float* a, const float* b, int64_t channels) noexcept {
    Vector partial[kPartialVectors];
    for (int v = 0; v < kPartialVectors; ++v) partial[v] = Lanes::set(0.0F);
    int64_t c = 0;
    for (; c + kPartialSums <= channels; c += kPartialSums) {
      for (int v = 0; v < kPartialVectors; ++v) {
        const int64_t at = c + v * Lanes::kLanes;
        partial[v] = Lanes::add(partial[v], Lanes::multiply(Lanes::load(a + at), Lanes::load(b + at)));
      }
    }
    for (int v = 0; v < kPartialVectors && c < channels; ++v, c += Lanes::kLanes) {
      partial[v] = Lanes::add(partial[v], Lanes::multiply(Lanes::load_some(a + c, channels - c), Lanes::load_some(b + c, channels - c)));
    }
    for (int v = 1; v < kPartialVectors; ++v) partial[0] = Lanes::add(partial[0], partial[v]);
    return Lanes::sum(partial[0]);
  }

  static void dot(const HeadRows& x, const HeadRows& y, const EdgesByRow& at, float* out, int64_t begin, int64_t end) noexcept {
    for (int64_t row = begin; row < end; ++row) {
      const float* here = y.row(row);
      for (int64_t k = at.begins[row]; k < at.begins[row + 1]; ++k) {
        const float* there = x.row(at.others[k]);
        float* dots = out + at.edges[k] * x.heads;
        for (int64_t head = 0; head < x.heads; ++head) {
          dots[head] = dot_of(here + head * x.channels, there + head * x.channels, x.channels);
        }
      }
    }
  }
};

template <typename Lanes>
constexpr EdgeSumKernels kEdgeSums = {.sum = EdgeSums<Lanes>::sum, .dot = EdgeSums<Lanes>::dot};

}  // namespace degreequant
