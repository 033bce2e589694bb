// Sums over neighbours, vectorised. A row's accumulators stay in registers while its edges are walked; the gathered rows are read packed,
// as they lie in memory, and asked for some edges ahead. `Simd` is what one instruction set calls its vectors (tiles_<isa>.h).
#pragma once

#include "gather.h"
#include "kernels_reference.h"

namespace degreequant {

// What an int32 can hold of a row.
enum class RowWidth {
  narrow,    // its accumulators
  wide_end,  // the sums over its edges and the node's own term, but not both together
  wide,      // not even the sums
};

struct Aggregation {
  NeighbourSum sum;
  Requantize rule;
  MutableCodes out;
  int64_t out_stride;  // in bytes
  Prefetcher prefetcher;
};

// Whether sum |coefficient| of a row is beyond `limit`.
DEGREEQUANT_INLINE bool coefficients_exceed(const NeighbourSum& sum, int64_t row, int64_t limit) noexcept {
  const int64_t begin = sum.csr.indptr[row];
  const int64_t end = sum.csr.indptr[row + 1];
  if (!sum.has_coefficients()) return end - begin > limit;
  if ((end - begin) * 32768 <= limit) return false;  // too few edges for any coefficients: no need to read them
  int64_t total = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int32_t coefficient = sum.coefficient(e, sum.csr.indices[e]);
    total += coefficient < 0 ? -coefficient : coefficient;
  }
  return total > limit;
}

DEGREEQUANT_INLINE RowWidth width_of(const NeighbourSum& sum, int64_t row) noexcept {
  const int64_t limit = INT32_MAX / max_distance(sum.x.type, sum.zero_point);
  if (coefficients_exceed(sum, row, limit)) return RowWidth::wide;
  if (!sum.has_self_term()) return RowWidth::narrow;
  const int64_t self = sum.self_coefficient < 0 ? -sum.self_coefficient : sum.self_coefficient;
  const int64_t edges = sum.csr.indptr[row + 1] - sum.csr.indptr[row];  // whose coefficients are 1
  return (edges << sum.edge_shift) + self > limit ? RowWidth::wide_end : RowWidth::narrow;
}

// What there is to do beside summing products, told at compile time: a graph convolution's loop over its edges has no time to spare.
enum class Terms {
  products,   // codes are stored as they are meant
  shifted,    // they have a zero point or a loader's offset, so the coefficients are summed as well
  with_self,  // and there is a term of the node itself, or a shift
};

// The codes of accumulators sum * 2^edge_shift + own from column `col` on.
DEGREEQUANT_INLINE void requantize_wide_end(const Aggregation& a, int64_t row, int64_t col, int64_t count, const int32_t* sum,
                                            const int32_t* own, int32_t* codes) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t acc = int64_t{sum[i]} * (int64_t{1} << a.sum.edge_shift) + own[i];
    codes[i] = requantize_any(acc, a.rule.multiplier(row, col + i), a.rule.addend_at(col + i), a.rule.clamp);
  }
}

// The codes of a vector of sums and of the node's own terms.
template <typename Simd>
DEGREEQUANT_INLINE typename Simd::Vector codes_with_self(const Aggregation& a, const typename Simd::Requantizer& rule, RowWidth width,
                                                         int64_t row, int64_t col, int64_t count, typename Simd::Vector sum,
                                                         typename Simd::Vector own) noexcept {
  if (width == RowWidth::narrow) {
    return rule.codes(Simd::add(Simd::shift_left(sum, a.sum.edge_shift), own), col, count);
  }
  alignas(64) int32_t sums[Simd::kLanes], owns[Simd::kLanes], codes[Simd::kLanes] = {};
  Simd::store(sums, sum);
  Simd::store(owns, own);
  requantize_wide_end(a, row, col, count < Simd::kLanes ? count : Simd::kLanes, sums, owns, codes);
  return Simd::load(codes);
}

// Columns [first, first + count) of one row that is not RowWidth::wide.
template <typename Simd, typename Loader, Terms kTerms, typename Shape>
DEGREEQUANT_INLINE void aggregate_block(const Aggregation& a, const typename Simd::Requantizer& rule, RowWidth width, int64_t row,
                                        int64_t first, int64_t count) noexcept {
  using Vector = typename Simd::Vector;
  const typename Simd::template Block<Loader, Shape> block(a.sum.x, first, count);
  const auto offset_of = [&](uint32_t coefficients) {  // wraps around as the accumulators may: the difference, which fits, has not
    return Simd::set(static_cast<int32_t>(static_cast<uint32_t>(Loader::kOffset + a.sum.zero_point) * coefficients));
  };
  Sums<Simd, Shape> sum, own;
  uint32_t coefficients = 0;
  const auto add_edges = [&](auto coefficient_of) DEGREEQUANT_INLINE_LAMBDA {
    for (int64_t e = a.sum.csr.indptr[row]; e < a.sum.csr.indptr[row + 1]; ++e) {
      a.prefetcher.ask(block.base, block.stride, block.bytes, e);
      const int64_t source = a.sum.csr.indices[e];
      const int32_t coefficient = coefficient_of(e, source);
      if (kTerms != Terms::products) coefficients += static_cast<uint32_t>(coefficient);
      block.add(source, [factor = Simd::factor(coefficient)](int) { return factor; }, sum);
    }
  };
  if (kTerms == Terms::with_self || !a.sum.has_coefficients()) {
    add_edges([](int64_t, int64_t) { return 1; });
  } else if (a.sum.source_coefficient != nullptr) {
    add_edges([of = a.sum.source_coefficient](int64_t, int64_t source) { return int32_t{of[source]}; });
  } else {
    add_edges([of = a.sum.edge_coefficient](int64_t edge, int64_t) { return int32_t{of[edge]}; });
  }
  sum.template finish<Loader>([offset = offset_of(coefficients)](int) { return offset; });
  if (kTerms == Terms::with_self) {
    block.add(row, [factor = Simd::factor(a.sum.self_coefficient)](int) { return factor; }, own);
    own.template finish<Loader>([offset = offset_of(static_cast<uint32_t>(a.sum.self_coefficient))](int) { return offset; });
  }
  for (int v = 0; v < sum.kVectors; ++v) {
    const int64_t col = first + v * Simd::kLanes;
    const int64_t lanes = Shape::kPartial ? first + count - col : Simd::kLanes;
    if (lanes <= 0) return;
    const Vector codes = kTerms == Terms::with_self ? codes_with_self<Simd>(a, rule, width, row, col, lanes, sum.acc[v], own.acc[v])
                                                    : rule.codes(sum.acc[v], col, lanes);
    Simd::store_codes(a.out.type, a.out.data + row * a.out_stride, col, lanes, codes);
  }
}

template <typename Simd, typename Loader, Terms kTerms>
void aggregate_rows(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  if (begin == end) return;
  typename Simd::Requantizer rule(a.rule);
  for (int64_t row = begin; row < end; ++row) {
    const RowWidth width = width_of(a.sum, row);
    if (width == RowWidth::wide) {
      reference::aggregate(a.sum, a.rule, a.out, row, row + 1);
      continue;
    }
    rule.start_row(row);
    for_blocks<Simd::kMaxTiles>(0, a.out.cols, [&](auto shape, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      aggregate_block<Simd, Loader, kTerms, decltype(shape)>(a, rule, width, row, first, count);
    });
  }
}

template <typename Simd, typename Loader>
DEGREEQUANT_INLINE void aggregate_rows(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  if (a.sum.has_self_term()) {
    aggregate_rows<Simd, Loader, Terms::with_self>(a, begin, end);
  } else if (Loader::kOffset != 0 || a.sum.zero_point != 0) {
    aggregate_rows<Simd, Loader, Terms::shifted>(a, begin, end);
  } else if constexpr (Loader::kOffset == 0) {
    aggregate_rows<Simd, Loader, Terms::products>(a, begin, end);
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void aggregate_with(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t begin,
                                       int64_t end) noexcept {
  const Aggregation a = {sum, rule, out, row_bytes(out.type, out.cols), Prefetcher(sum.csr, end)};
  switch (sum.x.type) {
    case CodeType::i4:
      return aggregate_rows<Simd, typename Simd::template Nibbles<true>>(a, begin, end);
    case CodeType::u4:
      return aggregate_rows<Simd, typename Simd::template Nibbles<false>>(a, begin, end);
    case CodeType::i8:
      return aggregate_rows<Simd, typename Simd::template Bytes<true>>(a, begin, end);
    case CodeType::u8:
      return aggregate_rows<Simd, typename Simd::template Bytes<false>>(a, begin, end);
    default:
      return reference::aggregate(sum, rule, out, begin, end);
  }
}

}  // namespace degreequant
