// Sums over neighbours, vectorised. A row's accumulators stay in registers while its edges are walked; the gathered rows are read packed,
// as they lie in memory, and asked for some edges ahead. `Simd` is what one instruction set calls its vectors (sums_<isa>.h).
#pragma once

#include "blocks.h"
#include "kernels_reference.h"
#include "wide_codes.h"

namespace degreequant {

// So many products of a coefficient and a byte fit an int32 when summed, and so many codes alone.
constexpr int64_t kWeightedChunk = 256;
constexpr int64_t kCountedChunk = INT32_MAX / UINT8_MAX;
static_assert(kWeightedChunk * (-INT16_MIN) * UINT8_MAX <= INT32_MAX);

struct Aggregation {
  NeighbourSum sum;
  Requantize rule;
  MutableCodes out;
  int64_t narrow_edges;  // a row of no more edges has an accumulator that fits an int32
};

// Coefficients of an edge, and of it and the next in the halves of an int32.
struct ByEdge {
  const int16_t* coefficient;
  DEGREEQUANT_INLINE explicit ByEdge(const NeighbourSum& sum) noexcept : coefficient(sum.coefficient) {}
  DEGREEQUANT_INLINE int32_t one(int64_t edge) const noexcept { return static_cast<uint16_t>(coefficient[edge]); }
  DEGREEQUANT_INLINE int32_t pair(int64_t edge) const noexcept {
    int32_t both;
    __builtin_memcpy(&both, coefficient + edge, sizeof both);
    return both;
  }
};

struct Unweighted {
  DEGREEQUANT_INLINE explicit Unweighted(const NeighbourSum&) noexcept {}
};

// The sums of a block over the edges [begin, end), which fit an int32.
template <typename Simd, typename Loader, typename Shape>
DEGREEQUANT_INLINE auto sum_edges(const ByEdge& coefficients, const GatheredRows<Shape>& rows, int64_t bytes, int64_t begin,
                                  int64_t end) noexcept {
  typename Simd::template Weighted<Loader, Shape> sums(bytes, rows.end);
  int64_t e = begin;
  for (; e + 2 <= end; e += 2) {
    rows.prefetch(rows.source_ahead(e));
    rows.prefetch(rows.source_ahead(e + 1));
    sums.add(rows.row(rows.indices[e]), rows.row(rows.indices[e + 1]), Simd::set(coefficients.pair(e)));
  }
  if (e < end) {
    rows.prefetch(rows.source_ahead(e));
    const uint8_t* last = rows.row(rows.indices[e]);
    sums.add(last, last, Simd::set(coefficients.one(e)));
  }
  sums.finish();
  return sums;
}

template <typename Simd, typename Loader, typename Shape>
DEGREEQUANT_INLINE auto sum_edges(const Unweighted&, const GatheredRows<Shape>& rows, int64_t bytes, int64_t begin, int64_t end) noexcept {
  typename Simd::template Counted<Loader, Shape> sums(bytes, rows.end);
  int64_t e = begin;
  do {
    const int64_t stop = end - e < Loader::kCapacity ? end : e + Loader::kCapacity;
    for (; e < stop; ++e) {
      rows.prefetch(rows.source_ahead(e));
      sums.add(rows.row(rows.indices[e]));
    }
    sums.flush();
  } while (e < end);
  sums.finish(end - begin);
  return sums;
}

// The node's own term of a block, less its zero point.
template <typename Simd, typename Loader, typename Shape>
DEGREEQUANT_INLINE auto own_term(const NeighbourSum& sum, const GatheredRows<Shape>& rows, int64_t bytes, int64_t row) noexcept {
  typename Simd::template Weighted<Loader, Shape> own(bytes, rows.end);
  own.add(rows.row(row), rows.row(row), Simd::set(sum.self_coefficient & 0xffff));
  own.finish();
  const auto offset = Simd::set(sum.self_coefficient * sum.zero_point);
  unrolled<own.kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { own.acc[v] = Simd::subtract(own.acc[v], offset); });
  return own;
}

// Takes the zero point back from sums over edges.
template <typename Simd, typename Sums>
DEGREEQUANT_INLINE void take_back_zero_point(const NeighbourSum& sum, int64_t begin, int64_t end, Sums& sums) noexcept {
  if (sum.zero_point == 0) return;
  uint32_t coefficients = static_cast<uint32_t>(end - begin);
  if (sum.coefficient != nullptr) {
    coefficients = 0;
    for (int64_t e = begin; e < end; ++e) coefficients += static_cast<uint32_t>(sum.coefficient[e]);
  }
  const auto offset = Simd::set(static_cast<int32_t>(coefficients * static_cast<uint32_t>(sum.zero_point)));
  unrolled<Sums::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { sums.acc[v] = Simd::subtract(sums.acc[v], offset); });
}

// Stores the codes of sums that fit, and the node's own term with them.
template <typename Simd, typename Loader, typename Coefficients, typename Shape, typename Sums>
DEGREEQUANT_INLINE void store_narrow(const Aggregation& a, const typename Simd::Requantizer& rule, const GatheredRows<Shape>& rows,
                                     int64_t row, Columns columns, Sums& sums) noexcept {
  if (__is_same(Coefficients, Unweighted) && a.sum.has_self_term()) {
    const auto own = own_term<Simd, Loader>(a.sum, rows, rows.last + 1, row);
    unrolled<Sums::kVectors>(
        [&](auto v) DEGREEQUANT_INLINE_LAMBDA { sums.acc[v] = Simd::add(Simd::shift_left(sums.acc[v], a.sum.edge_shift), own.acc[v]); });
  }
  uint8_t* target = a.out.row(row);
  unrolled<Sums::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
    const int64_t lane = v * Simd::kLanes;
    const int64_t count = columns.count - lane;
    const int64_t col = columns.first + lane;
    if (count > 0) Simd::store_codes(a.out.type, target, col, count, rule.codes(sums.acc[v], col, count));
  });
}

// Adds sums, of columns in order, to those of a row that needs 64 bits.
template <typename Simd, typename Sums>
DEGREEQUANT_INLINE void carry(const Sums& sums, int32_t shift, int64_t* wide) noexcept {
  alignas(64) int32_t lanes[Sums::kVectors * Simd::kLanes];
  unrolled<Sums::kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { Simd::store(lanes + v * Simd::kLanes, sums.acc[v]); });
  for (int64_t i = 0; i < Sums::kVectors * Simd::kLanes; ++i) wide[i] += int64_t{lanes[i]} * (int64_t{1} << shift);
}

// The block that begins in byte `first` of each row of [begin, end).
template <typename Simd, typename Loader, typename Coefficients, typename Shape>
[[gnu::noinline]] void aggregate_block(const Aggregation& a, int64_t begin, int64_t end, int64_t first, int64_t bytes) noexcept {
  constexpr int kVectors = Simd::template Sums<Loader, Shape>::kVectors;
  constexpr int64_t kChunk = __is_same(Coefficients, Unweighted) ? kCountedChunk : kWeightedChunk;
  const GatheredRows<Shape> rows(a.sum.x, a.sum.csr, first, bytes);
  const Coefficients coefficients(a.sum);
  typename Simd::Requantizer rule(a.rule);
  const int64_t first_col = first * Loader::kPlanes;
  const int64_t left = a.out.cols - first_col;
  const Columns columns = {first_col, bytes * Loader::kPlanes < left ? bytes * Loader::kPlanes : left};
  for (int64_t row = begin; row < end; ++row) {
    rule.start_row(row);
    const int64_t to = a.sum.csr.indptr[row + 1];
    int64_t from = a.sum.csr.indptr[row];
    const bool narrow = to - from <= a.narrow_edges;
    alignas(64) int64_t wide[kVectors * Simd::kLanes];
    if (!narrow) __builtin_memset(wide, 0, sizeof wide);
    do {  // chunk by chunk; all of a narrow row at once
      const int64_t stop = narrow || to - from <= kChunk ? to : from + kChunk;
      auto sums = sum_edges<Simd, Loader>(coefficients, rows, bytes, from, stop);
      take_back_zero_point<Simd>(a.sum, from, stop, sums);
      if (narrow) {
        store_narrow<Simd, Loader, Coefficients>(a, rule, rows, row, columns, sums);
      } else {
        carry<Simd>(sums, a.sum.edge_shift, wide);
      }
      from = stop;
    } while (from < to);
    if (narrow) continue;
    if (a.sum.self_coefficient != 0) carry<Simd>(own_term<Simd, Loader>(a.sum, rows, bytes, row), 0, wide);
    store_wide<Simd>(rule, a.out, row, columns, wide);
  }
}

template <typename Simd, typename Loader, typename Coefficients>
DEGREEQUANT_INLINE void aggregate_rows(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  const int64_t bytes = row_bytes(a.sum.x.type, a.sum.x.cols);
  for (int64_t row = begin; row < end; row += kRowsAtOnce) {
    const int64_t stop = end - row < kRowsAtOnce ? end : row + kRowsAtOnce;
    for_blocks<Loader::kMaxHalves, Simd::kJoinsRest>(bytes, [&](auto shape, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      aggregate_block<Simd, Loader, Coefficients, decltype(shape)>(a, row, stop, first, count);
    });
  }
}

// Edges of a row whose accumulator surely fits an int32.
DEGREEQUANT_INLINE int64_t narrow_edges(const NeighbourSum& sum) noexcept {
  if (sum.coefficient != nullptr) return kWeightedChunk;
  const int64_t self = sum.self_coefficient < 0 ? -sum.self_coefficient : sum.self_coefficient;
  const int64_t codes = INT32_MAX / max_distance(sum.x.type, sum.zero_point) - self;
  return codes < 0 ? -1 : codes >> sum.edge_shift;
}

template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void aggregate_rows(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  if (a.sum.coefficient != nullptr) return aggregate_rows<Simd, Loader, ByEdge>(a, begin, end);
  aggregate_rows<Simd, Loader, Unweighted>(a, begin, end);
}

// The codes of x are bytes.
template <typename Simd>
DEGREEQUANT_INLINE void aggregate_bytes_with(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t begin,
                                             int64_t end) noexcept {
  const Aggregation a = {sum, rule, out, narrow_edges(sum)};
  if (sum.x.type == CodeType::i8) return aggregate_rows<Simd, typename Simd::template Bytes<true>>(a, begin, end);
  aggregate_rows<Simd, typename Simd::template Bytes<false>>(a, begin, end);
}

// The codes of x are nibbles.
template <typename Simd>
DEGREEQUANT_INLINE void aggregate_nibbles_with(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t begin,
                                               int64_t end) noexcept {
  const Aggregation a = {sum, rule, out, narrow_edges(sum)};
  if (sum.x.type == CodeType::i4) return aggregate_rows<Simd, typename Simd::template Nibbles<true>>(a, begin, end);
  aggregate_rows<Simd, typename Simd::template Nibbles<false>>(a, begin, end);
}

}  // namespace degreequant
