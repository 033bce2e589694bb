// The operations from codes to codes that need no graph, vectorised. `Simd` is what one instruction set calls its vectors
// (dense_<isa>.cpp).
#pragma once

#include "estimate.h"
#include "kernels_reference.h"

namespace degreequant {

// Calls f(row, col, count) for the vectors of the rows [begin, end).
template <typename Simd, typename F>
DEGREEQUANT_INLINE void for_vectors(int64_t cols, int64_t begin, int64_t end, F f) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < cols; col += Simd::kLanes) f(row, col, cols - col);
  }
}

template <typename Simd>
DEGREEQUANT_INLINE typename Simd::Vector load_vector(Codes x, int64_t row, int64_t col, int64_t count) noexcept {
  return Simd::load_codes(x.type, x.row(row), col, count);
}

template <typename Simd>
DEGREEQUANT_INLINE void store_vector(MutableCodes out, int64_t row, int64_t col, int64_t count, typename Simd::Vector codes) noexcept {
  Simd::store_codes(out.type, out.row(row), col, count, codes);
}

// Rows without gaps as one long row.
template <typename Byte>
DEGREEQUANT_INLINE CodeView<Byte> joined(CodeView<Byte> x, int64_t begin, int64_t end) noexcept {
  return {x.row(begin), 1, (end - begin) * x.cols, x.type, (end - begin) * x.stride};
}

template <typename Simd>
DEGREEQUANT_INLINE void add_rows(const Addition& sum, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const SumEstimator<typename Simd::Estimates> estimator(sum, out.cols);
  const auto term = [&](const Addition::Term& t, int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    return Simd::subtract(load_vector<Simd>(t.x, row, col, count), Simd::set(t.zero_point));
  };
  for_vectors<Simd>(out.cols, begin, end, [&](int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    const auto a = term(sum.a, row, col, count), b = term(sum.b, row, col, count);
    const auto addend = sum.addend == nullptr ? Simd::set(0) : Simd::load_some(sum.addend + col, count);
    const auto bias = sum.addend == nullptr ? Simd::Estimates::set(0) : estimator.bias(addend);
    typename Simd::Vector codes;
    if (estimator.codes(a, b, bias, codes) != 0) [[unlikely]] {
      codes = Simd::codes_of_sum(sum, a, b, addend);
    }
    store_vector<Simd>(out, row, col, count, codes);
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void add_with(const Addition& sum, MutableCodes out, int64_t begin, int64_t end) noexcept {
  Addition whole = sum;
  if (sum.addend == nullptr && sum.a.x.is_gapless() && sum.b.x.is_gapless() && out.is_gapless()) {
    whole.a.x = joined(sum.a.x, begin, end);
    whole.b.x = joined(sum.b.x, begin, end);
    out = joined(out, begin, end);
    begin = 0;
    end = 1;
  }
  add_rows<Simd>(whole, out, begin, end);
}

template <typename Simd>
DEGREEQUANT_INLINE void rescale_with(Codes x, int32_t zero_point, const Requantize& rule, MutableCodes out, int64_t offset, int64_t begin,
                                     int64_t end) noexcept {
  const bool on_bytes = row_bytes(out.type, 2) > 1 || offset % 2 == 0;
  if (!on_bytes) return reference::rescale(x, zero_point, rule, out, offset, begin, end);
  const typename Simd::Requantizer requantizer(rule);
  for_vectors<Simd>(x.cols, begin, end, [&](int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    const auto acc = Simd::subtract(load_vector<Simd>(x, row, col, count), Simd::set(zero_point));
    store_vector<Simd>(out, row, offset + col, count, requantizer.codes(acc, col, count));
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void lookup_with(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const auto low = Simd::set(code_range(x.type).low);
  for_vectors<Simd>(x.cols, begin, end, [&](int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    const auto index = Simd::subtract(load_vector<Simd>(x, row, col, count), low);  // lanes beyond the last code hold the code 0
    store_vector<Simd>(out, row, col, count, Simd::look_up(table, index));
  });
}

}  // namespace degreequant
