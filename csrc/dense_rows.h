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

// Codes less their zero point, of any type.
template <typename Simd>
class Centred {
 public:
  static constexpr bool kBytes = false;
  DEGREEQUANT_INLINE Centred(Codes x, int32_t zero_point) noexcept : x_(x), zero_(Simd::set(zero_point)) {}
  DEGREEQUANT_INLINE auto at(int64_t row, int64_t col, int64_t count) const noexcept {
    return Simd::subtract(load_vector<Simd>(x_, row, col, count), zero_);
  }

 private:
  Codes x_;
  typename Simd::Vector zero_;
};

// The same of bytes, whose sign is no matter of control flow: with its sign bit flipped an unsigned code is a signed one, 128 below.
template <typename Simd>
class CentredBytes {
 public:
  static constexpr bool kBytes = true;
  DEGREEQUANT_INLINE CentredBytes(Codes x, int32_t zero_point) noexcept
      : x_(x), flip_(x.type == CodeType::u8 ? 0x80 : 0), zero_(Simd::set(zero_point - flip_)) {}
  DEGREEQUANT_INLINE auto at(int64_t row, int64_t col, int64_t count) const noexcept {
    return Simd::subtract(Simd::widen_flipped(x_.row(row) + col, count, flip_), zero_);
  }

 private:
  Codes x_;
  int32_t flip_;
  typename Simd::Vector zero_;
};

// Rows without gaps as one long row.
template <typename Byte>
DEGREEQUANT_INLINE CodeView<Byte> joined(CodeView<Byte> x, int64_t begin, int64_t end) noexcept {
  return {x.row(begin), 1, (end - begin) * x.cols, x.type, (end - begin) * x.stride};
}

// Sums of rows, whose terms are read as `Term` does. One look whether the estimates are sure serves several vectors, as every look waits
// for them.
template <typename Simd, typename Term>
class RowSums {
 public:
  using Vector = typename Simd::Vector;
  using Estimates = typename Simd::Estimates;
  static constexpr int kMany = 4;

  DEGREEQUANT_INLINE RowSums(const Addition& sum, MutableCodes out) noexcept
      : sum_(sum), out_(out), estimator_(sum, out.cols), a_(sum.a.x, sum.a.zero_point), b_(sum.b.x, sum.b.zero_point) {}

  DEGREEQUANT_INLINE void add(int64_t row) const noexcept {
    int64_t col = 0;
    for (; out_.cols - col >= kMany * Simd::kLanes; col += kMany * Simd::kLanes) vectors<kMany>(row, col, kMany * Simd::kLanes);
    for (; col < out_.cols; col += Simd::kLanes) vectors<1>(row, col, out_.cols - col);
  }

 private:
  // kCount vectors, which hold `count` columns.
  template <int kCount>
  DEGREEQUANT_INLINE void vectors(int64_t row, int64_t first, int64_t count) const noexcept {
    Vector a[kCount], b[kCount], addend[kCount], codes[kCount];
    typename Estimates::Integers beyond[kCount];
    auto least = Estimates::set_integer(-1);
    unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t col = first + v * Simd::kLanes, left = count - v * Simd::kLanes;
      a[v] = a_.at(row, col, left);
      b[v] = b_.at(row, col, left);
      addend[v] = sum_.addend == nullptr ? Simd::set(0) : Simd::load_some(sum_.addend + col, left);
      const auto bias = sum_.addend == nullptr ? estimator_.no_bias() : estimator_.bias(addend[v]);
      beyond[v] = estimator_.codes(a[v], b[v], bias, codes[v]);
      least = Estimates::smaller_words(least, beyond[v]);
    });
    if (estimator_.unsure(least)) [[unlikely]] {
      unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
        if (estimator_.unsure(beyond[v])) codes[v] = Simd::Rule::codes_of_sum(sum_, a[v], b[v], addend[v]);
      });
    }
    if constexpr (Term::kBytes && kCount == kMany) {
      return Simd::store_bytes(out_.row(row) + first, codes);
    }
    unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      store_vector<Simd>(out_, row, first + v * Simd::kLanes, count - v * Simd::kLanes, codes[v]);
    });
  }

  const Addition& sum_;
  MutableCodes out_;
  SumEstimator<Estimates> estimator_;
  Term a_;
  Term b_;
};

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
  const auto add_rows = [&](auto sums) DEGREEQUANT_INLINE_LAMBDA {
    for (int64_t row = begin; row < end; ++row) sums.add(row);
  };
  if (is_byte(sum.a.x.type) && is_byte(sum.b.x.type) && is_byte(out.type)) {
    out.type = CodeType::i8;  // stored alike, and known when this is compiled
    add_rows(RowSums<Simd, CentredBytes<Simd>>(whole, out));
  } else {
    add_rows(RowSums<Simd, Centred<Simd>>(whole, out));
  }
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

// `entry_of` takes a vector of indices, each a code without the least one.
template <typename Simd, typename F>
DEGREEQUANT_INLINE void lookup_rows(Codes x, MutableCodes out, int64_t begin, int64_t end, F entry_of) noexcept {
  const auto low = Simd::set(code_range(x.type).low);
  for_vectors<Simd>(x.cols, begin, end, [&](int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    const auto index = Simd::subtract(load_vector<Simd>(x, row, col, count), low);  // lanes beyond the last code hold the code 0
    store_vector<Simd>(out, row, col, count, entry_of(index));
  });
}

// Bytes of bytes, as many at a time as a vector has.
template <typename Table>
DEGREEQUANT_INLINE void lookup_bytes(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const Table at_hand(table);
  const int32_t flip = x.type == CodeType::i8 ? 0x80 : 0;  // the least code becomes the index 0
  if (x.is_gapless() && out.is_gapless()) {
    x = joined(x, begin, end);
    out = joined(out, begin, end);
    begin = 0;
    end = 1;
  }
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < x.cols; col += Table::kBytes) at_hand.look_up(x.row(row) + col, x.cols - col, flip, out.row(row) + col);
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void lookup_with(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  if constexpr (!__is_same(typename Simd::ByteTable, void)) {
    if (is_byte(x.type) && is_byte(out.type)) return lookup_bytes<typename Simd::ByteTable>(x, table, out, begin, end);
  }
  using Vector = typename Simd::Vector;
  using Table = typename Simd::Table;
  const CodeRange range = code_range(x.type);
  const int64_t entries = range.high - range.low + 1;
  if (entries > Table::kEntries) {
    return lookup_rows<Simd>(x, out, begin, end, [&](Vector index) DEGREEQUANT_INLINE_LAMBDA { return Simd::look_up(table, index); });
  }
  const Table at_hand(table, entries);
  lookup_rows<Simd>(x, out, begin, end, [&](Vector index) DEGREEQUANT_INLINE_LAMBDA { return at_hand.look_up(index); });
}

}  // namespace degreequant
