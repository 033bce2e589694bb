// Sums and maxima over neighbours in float32.
#pragma once

#include "float_rows.h"

namespace degreequant {

// Stores the results of sums; not inlined where they are made, which is in many places.
template <typename Lanes, typename Block>
[[gnu::noinline]] void float_store_sums(const FloatSum& sum, const FloatFinish& finish, float* target, int64_t row,
                                        const ColumnBlock<Lanes, Block>& columns, const typename Lanes::Vector* sums) noexcept {
  const bool is_scaled = sum.row_factor != nullptr;
  const auto factor = Lanes::set(is_scaled ? sum.row_factor[row] : 1.0F);
  for (int v = 0; v < Block::kVectors; ++v) {
    columns.store(target, v, columns.finish(finish, v, is_scaled ? Lanes::multiply(sums[v], factor) : sums[v]));
  }
}

// Columns of one row of a sum.
template <typename Lanes, typename Block, typename CoefficientOf>
DEGREEQUANT_INLINE void float_sum_block(const FloatSum& sum, const FloatFinish& finish, float* target, int64_t row, int64_t first,
                                        int64_t count, const RowPrefetcher& prefetcher, CoefficientOf coefficient_of) noexcept {
  using Vector = typename Lanes::Vector;
  const ColumnBlock<Lanes, Block> columns = {first, count};
  Vector acc[Block::kVectors];
  for (Vector& vector : acc) vector = Lanes::set(0.0F);
  for (int64_t e = sum.csr.indptr[row]; e < sum.csr.indptr[row + 1]; ++e) {
    prefetcher.ask_block<Lanes, Block>(sum.x, first, e);
    const int64_t source = sum.csr.indices[e];
    const Vector coefficient = Lanes::set(coefficient_of(e, source));
    for (int v = 0; v < Block::kVectors; ++v) acc[v] = Lanes::fma(coefficient, columns.load(sum.x.data + source * sum.x.cols, v), acc[v]);
  }
  if (sum.self_coefficient != 0.0F) {
    const Vector own = Lanes::set(sum.self_coefficient);
    for (int v = 0; v < Block::kVectors; ++v) acc[v] = Lanes::fma(own, columns.load(sum.x.data + row * sum.x.cols, v), acc[v]);
  }
  Vector sums[Block::kVectors];  // a copy, so that the accumulators have no address and stay in registers
  for (int v = 0; v < Block::kVectors; ++v) sums[v] = acc[v];
  float_store_sums(sum, finish, target, row, columns, sums);
}

template <typename Lanes, typename CoefficientOf>
DEGREEQUANT_INLINE void float_sum_rows(const FloatSum& sum, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end,
                                       CoefficientOf coefficient_of) noexcept {
  const RowPrefetcher prefetcher(sum.csr, end);
  for (int64_t row = begin; row < end; ++row) {
    for_vector_blocks<Lanes, Lanes::kMaxVectors>(0, out.cols, [&](auto block, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      float_sum_block<Lanes, decltype(block)>(sum, finish, out.data + row * out.cols, row, first, count, prefetcher, coefficient_of);
    });
  }
}

template <typename Lanes>
void float_aggregate(const FloatSum& sum, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept {
  if (sum.source_coefficient != nullptr) {
    float_sum_rows<Lanes>(sum, finish, out, begin, end, [of = sum.source_coefficient](int64_t, int64_t source) { return of[source]; });
  } else if (sum.edge_coefficient != nullptr) {
    float_sum_rows<Lanes>(sum, finish, out, begin, end, [of = sum.edge_coefficient](int64_t edge, int64_t) { return of[edge]; });
  } else {
    float_sum_rows<Lanes>(sum, finish, out, begin, end, [](int64_t, int64_t) { return 1.0F; });
  }
}

template <typename Lanes>
void float_maximum(Floats x, const Csr& csr, MutableFloats out, int64_t begin, int64_t end) noexcept {
  using Vector = typename Lanes::Vector;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t edges_begin = csr.indptr[row];
    const int64_t edges_end = csr.indptr[row + 1];
    for_vector_blocks<Lanes, half_of<Lanes>()>(0, out.cols, [&](auto block, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      const ColumnBlock<Lanes, decltype(block)> columns = {first, count};
      for (int v = 0; v < columns.kVectors; ++v) {
        Vector most = Lanes::set(0.0F);
        for (int64_t e = edges_begin; e < edges_end; ++e) {
          const Vector values = columns.load(x.data + csr.indices[e] * x.cols, v);
          most = e == edges_begin ? values : Lanes::maximum(most, values);
        }
        columns.store(out.data + row * out.cols, v, most);
      }
    });
  }
}

}  // namespace degreequant
