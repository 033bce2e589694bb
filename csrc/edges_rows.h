// Products of codes and the softmax over edges, vectorised. `Simd` is what one instruction set calls its lanes (lanes_<isa>.h).
#pragma once

#include "dense_rows.h"
#include "softmax.h"

namespace degreequant {

constexpr int64_t kProductColumns = 512;  // of a at a time

// What one row after the other of b has for the columns [first, first + count) of a, each channel for `repeat` of them.
template <typename Simd>
class Factors {
 public:
  using Vector = typename Simd::Vector;

  DEGREEQUANT_INLINE Factors(const Product& product, int64_t first, int64_t count) noexcept
      : b_(product.b), zero_(Simd::set(product.b_zero)), first_(first / product.repeat / 2 * 2) {
    int64_t column = first % product.repeat;  // of its channel
    int32_t channel = static_cast<int32_t>(first / product.repeat - first_);
    for (int64_t i = 0; i < count; ++i) {
      if (i % Simd::kLanes == 0) leading_[i / Simd::kLanes] = channel;
      behind_[i] = channel - leading_[i / Simd::kLanes];
      channels_ = channel + 1;
      column = column + 1 == product.repeat ? 0 : column + 1;
      channel += column == 0;
    }
  }

  DEGREEQUANT_INLINE void load(int64_t row) noexcept {
    const uint8_t* codes = b_.data + row * row_bytes(b_.type, b_.cols);
    for (int64_t c = 0; c < channels_; c += Simd::kLanes) {
      Simd::store(values_ + c, Simd::subtract(Simd::load_codes(b_.type, codes, first_ + c, channels_ - c), zero_));
    }
  }

  // Of the vector that begins `i` columns behind the first.
  DEGREEQUANT_INLINE Vector at(int64_t i) const noexcept {
    return Simd::permute(Simd::load(values_ + leading_[i / Simd::kLanes]), Simd::load(behind_ + i));
  }

 private:
  Codes b_;
  Vector zero_;
  int64_t first_;  // of the channels, an even one
  int64_t channels_ = 0;
  int32_t leading_[kProductColumns / kMinLanes];  // channel of each vector's first lane
  int32_t behind_[kProductColumns] = {};          // how many channels each lane's is behind that
  int32_t values_[kProductColumns + 2 * kMaxLanes] = {};
};

// Columns [first, first + count) of the rows.
template <typename Simd>
DEGREEQUANT_INLINE void multiply_repeated(const Product& product, const typename Simd::Requantizer& requantizer, MutableCodes out,
                                          int64_t first, int64_t count, int64_t begin, int64_t end) noexcept {
  Factors<Simd> factors(product, first, count);
  const auto zero = Simd::set(product.a_zero);
  for (int64_t row = begin; row < end; ++row) {
    factors.load(row);
    for (int64_t i = 0; i < count; i += Simd::kLanes) {
      const int64_t col = first + i;
      const auto acc = Simd::multiply(Simd::subtract(load_vector<Simd>(product.a, row, col, count - i), zero), factors.at(i));
      store_vector<Simd>(out, row, col, count - i, requantizer.codes(acc, col, count - i));
    }
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void multiply_with(const Product& product, const Requantize& rule, MutableCodes out, int64_t begin,
                                      int64_t end) noexcept {
  const auto is_wide = [](CodeType type) DEGREEQUANT_INLINE_LAMBDA { return row_bytes(type, 1) > 1; };
  if (is_wide(product.a.type) || is_wide(product.b.type)) return reference::multiply(product, rule, out, begin, end);
  const typename Simd::Requantizer requantizer(rule);
  if (product.repeat > 1) {
    for (int64_t first = 0; first < out.cols; first += kProductColumns) {
      const int64_t count = out.cols - first < kProductColumns ? out.cols - first : kProductColumns;
      multiply_repeated<Simd>(product, requantizer, out, first, count, begin, end);
    }
    return;
  }
  const auto a_zero = Simd::set(product.a_zero);
  const auto b_zero = Simd::set(product.b_zero);
  for_vectors<Simd>(out.cols, begin, end, [&](int64_t row, int64_t col, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    const auto a = Simd::subtract(load_vector<Simd>(product.a, row, col, count), a_zero);
    const auto b = Simd::subtract(load_vector<Simd>(product.b, row, col, count), b_zero);
    store_vector<Simd>(out, row, col, count, requantizer.codes(Simd::multiply(a, b), col, count));
  });
}

// What turns the weights of a row's edges into codes: a multiplier and an addend for each head, repeated as weights are.
template <typename Simd>
struct HeadRules {
  int32_t mantissa[kHeadSlots];
  int32_t shift[kHeadSlots];
  int32_t addend[kHeadSlots];

  DEGREEQUANT_INLINE HeadRules(const Softmax<Simd>& softmax, BlockHeads heads, const Requantize& rule) noexcept {
    for (int64_t h = 0; h < heads.count; ++h) {
      const Multiplier m = bounded(combine(softmax.share(h), rule.channel.at(heads.first + h)));
      mantissa[h] = m.mantissa;
      shift[h] = m.shift;
      addend[h] = rule.addend_at(heads.first + h);
    }
    repeat_heads(mantissa, heads.count);
    repeat_heads(shift, heads.count);
    repeat_heads(addend, heads.count);
  }
};

// Stores the codes of what Softmax::weights holds of `edges` edges from `begin` on.
template <typename Simd>
DEGREEQUANT_INLINE void store_shares(Softmax<Simd>& softmax, const HeadRules<Simd>& rules, BlockHeads heads, Clamp clamp,
                                     const int32_t* indices, int64_t edges, MutableCodes out) noexcept {
  int32_t* weights = softmax.weights;
  for_head_vectors<Simd>(heads.count, edges, [&](int64_t i, int64_t head) DEGREEQUANT_INLINE_LAMBDA {
    const auto multipliers = Simd::multipliers(Simd::load(rules.mantissa + head), Simd::load(rules.shift + head));
    Simd::store(weights + i, Simd::requantized(Simd::load(weights + i), multipliers, Simd::load(rules.addend + head), clamp));
  });
  const int64_t stride = row_bytes(out.type, out.cols);
  for (int64_t e = 0; e < edges; ++e) {
    for (int64_t h = 0; h < heads.count; h += Simd::kLanes) {
      const auto codes = Simd::load(weights + e * heads.count + h);
      Simd::store_codes(out.type, out.data + indices[e] * stride, heads.first + h, heads.count - h, codes);
    }
  }
}

template <typename Simd>
[[gnu::noinline]] void softmax_row(Softmax<Simd>& softmax, const EdgeSoftmax& edges, const Requantize& rule, MutableCodes out, int64_t row,
                                   BlockHeads heads) noexcept {
  const int64_t begin = edges.csr.indptr[row];
  const int64_t end = edges.csr.indptr[row + 1];
  const auto for_chunks = [&](auto f) DEGREEQUANT_INLINE_LAMBDA {
    for (int64_t first = begin; first < end; first += heads.chunk) f(first, end - first < heads.chunk ? end - first : heads.chunk);
  };
  softmax.start(row, heads);
  for_chunks([&](int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA { softmax.weigh(heads, first, count); });
  const HeadRules<Simd> rules(softmax, heads, rule);
  for_chunks([&](int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    if (end - begin > heads.chunk) softmax.weigh(heads, first, count);  // it held another chunk in the meantime
    store_shares(softmax, rules, heads, rule.clamp, edges.csr.indices + first, count, out);
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void edge_softmax_with(const EdgeSoftmax& edges, const Requantize& rule, MutableCodes out, int64_t begin,
                                          int64_t end) noexcept {
  const Codes& logits = edges.logits;
  Softmax<Simd> softmax({.csr = edges.csr,
                         .rows = logits.data,
                         .stride = logits.cols,
                         .is_unsigned = logits.type == CodeType::u8,
                         .targets = nullptr,
                         .edges = nullptr,
                         .heads = logits.cols,
                         .slope = kUnitSlope,
                         .table = edges.table,
                         .distances = 256});
  for (int64_t row = begin; row < end; ++row) {
    if (edges.csr.indptr[row] == edges.csr.indptr[row + 1]) continue;
    for (int64_t first = 0; first < logits.cols; first += kBlockHeads) {
      const int64_t count = logits.cols - first < kBlockHeads ? logits.cols - first : kBlockHeads;
      softmax_row(softmax, edges, rule, out, row, BlockHeads(first, count));
    }
  }
}

}  // namespace degreequant
