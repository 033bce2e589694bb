// Products of codes and the softmax over edges, vectorised. `Simd` is what one instruction set calls its lanes (lanes_<isa>.h).
#pragma once

#include "dense_rows.h"
#include "head_lanes.h"

namespace degreequant {

constexpr int64_t kProductColumns = 512;  // of a at a time

// What one row after the other of b has for the columns [first, first + count) of a, each channel for `repeat` of them.
template <typename Simd>
class Factors {
 public:
  using Vector = typename Simd::Vector;

  DEGREEQUANT_INLINE Factors(const Product& product, int64_t first, int64_t count) noexcept
      : b_(product.b), zero_(Simd::set(product.b_zero)), first_(first / product.repeat / 2 * 2) {
    const auto channel_of = [&](int64_t i)
                                DEGREEQUANT_INLINE_LAMBDA { return (first + (i < count ? i : count - 1)) / product.repeat - first_; };
    for (int64_t i = 0; i < count; i += Simd::kLanes) {
      channels_.place(i / Simd::kLanes, [&](int64_t lane) DEGREEQUANT_INLINE_LAMBDA { return channel_of(i + lane); });
    }
    count_ = channel_of(count) + 1;
  }

  DEGREEQUANT_INLINE void load(int64_t row) noexcept {
    const uint8_t* codes = b_.row(row);
    for (int64_t c = 0; c < count_; c += Simd::kLanes) {
      Simd::store(values_ + c, Simd::subtract(Simd::load_codes(b_.type, codes, first_ + c, count_ - c), zero_));
    }
  }

  // Of the vector that begins `i` columns behind the first.
  DEGREEQUANT_INLINE Vector at(int64_t i) const noexcept { return channels_.pick(values_, i / Simd::kLanes); }

 private:
  Codes b_;
  Vector zero_;
  int64_t first_;  // of the channels, an even one
  int64_t count_;
  HeadLanes<Simd, kProductColumns> channels_;
  int32_t values_[kProductColumns + 2 * kMaxLanes] = {};
};

// The codes of products, and where they go. One look whether the estimates are sure serves several vectors, as every look waits for them.
template <typename Simd, bool kBytes>
class Products {
 public:
  using Vector = typename Simd::Vector;
  using Requantizer = typename Simd::Requantizer;
  static constexpr int kMany = 4;

  DEGREEQUANT_INLINE Products(const Requantize& rule, MutableCodes out) noexcept : requantizer_(rule), out_(out) {}

  // Those of the columns [first, first + count) of a row; factors_at(col, count, a, b) gives the two factors of a vector.
  template <typename F>
  DEGREEQUANT_INLINE void store(int64_t row, int64_t first, int64_t count, F factors_at) const noexcept {
    int64_t col = 0;
    for (; count - col >= kMany * Simd::kLanes; col += kMany * Simd::kLanes) {
      vectors<kMany>(row, first + col, kMany * Simd::kLanes, factors_at);
    }
    for (; col < count; col += Simd::kLanes) vectors<1>(row, first + col, count - col, factors_at);
  }

 private:
  template <int kCount, typename F>
  DEGREEQUANT_INLINE void vectors(int64_t row, int64_t first, int64_t count, F factors_at) const noexcept {
    Vector acc[kCount], codes[kCount];
    auto least = Requantizer::none();
    unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t col = first + v * Simd::kLanes;
      Vector a, b;
      factors_at(col, count - v * Simd::kLanes, a, b);
      acc[v] = Simd::multiply(a, b);
      least = Simd::Estimates::smaller_words(least, requantizer_.estimate(acc[v], requantizer_.channels(col), codes[v]));
    });
    if (requantizer_.unsure(least)) [[unlikely]] {
      unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
        codes[v] = requantizer_.codes(acc[v], first + v * Simd::kLanes, count - v * Simd::kLanes);
      });
    }
    if constexpr (kBytes && kCount == kMany) {
      return Simd::store_bytes(out_.row(row) + first, codes);
    }
    unrolled<kCount>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      store_vector<Simd>(out_, row, first + v * Simd::kLanes, count - v * Simd::kLanes, codes[v]);
    });
  }

  Requantizer requantizer_;
  MutableCodes out_;
};

// Columns [first, first + count) of the rows, where channels of b serve several.
template <typename Simd, typename A>
DEGREEQUANT_INLINE void multiply_repeated(const Product& product, const Products<Simd, A::kBytes>& products, int64_t first, int64_t count,
                                          int64_t begin, int64_t end) noexcept {
  using Vector = typename Simd::Vector;
  const A of_a(product.a, product.a_zero);
  Factors<Simd> factors(product, first, count);
  for (int64_t row = begin; row < end; ++row) {
    factors.load(row);
    products.store(row, first, count, [&](int64_t col, int64_t left, Vector& a, Vector& b) DEGREEQUANT_INLINE_LAMBDA {
      a = of_a.at(row, col, left);
      b = factors.at(col - first);
    });
  }
}

// `Of` is how codes are read.
template <typename Simd, template <typename> typename Of>
DEGREEQUANT_INLINE void multiply_rows(const Product& product, const Requantize& rule, MutableCodes out, int64_t begin,
                                      int64_t end) noexcept {
  using Vector = typename Simd::Vector;
  const Products<Simd, Of<Simd>::kBytes> products(rule, out);
  for (int64_t first = 0; product.repeat > 1 && first < out.cols; first += kProductColumns) {
    const int64_t count = out.cols - first < kProductColumns ? out.cols - first : kProductColumns;
    multiply_repeated<Simd, Of<Simd>>(product, products, first, count, begin, end);
  }
  if (product.repeat > 1) return;
  const Of<Simd> of_a(product.a, product.a_zero), of_b(product.b, product.b_zero);
  for (int64_t row = begin; row < end; ++row) {
    products.store(row, 0, out.cols, [&](int64_t col, int64_t left, Vector& a, Vector& b) DEGREEQUANT_INLINE_LAMBDA {
      a = of_a.at(row, col, left);
      b = of_b.at(row, col, left);
    });
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void multiply_with(const Product& product, const Requantize& rule, MutableCodes out, int64_t begin,
                                      int64_t end) noexcept {
  if (row_bytes(product.a.type, 1) > 1 || row_bytes(product.b.type, 1) > 1) return reference::multiply(product, rule, out, begin, end);
  if (!is_byte(product.a.type) || !is_byte(product.b.type) || !is_byte(out.type)) {
    return multiply_rows<Simd, Centred>(product, rule, out, begin, end);
  }
  out.type = CodeType::i8;  // stored alike, and known when this is compiled
  multiply_rows<Simd, CentredBytes>(product, rule, out, begin, end);
}

// What turns the weights of a group of heads into codes, in the slots of the softmax.
struct SlotRules {
  int32_t mantissa[kHeadSlots];
  int32_t shift[kHeadSlots];
  int32_t addend[kHeadSlots];

  DEGREEQUANT_INLINE SlotRules(const Requantize& rule, int64_t first_head, int64_t heads, int64_t slots) noexcept {
    for (int64_t i = 0; i < kHeadSlots; ++i) {
      const int64_t slot = i % slots;
      const int64_t head = first_head + (slot < heads ? slot : heads - 1);
      const Multiplier m = rule.channel.at(head);
      mantissa[i] = m.mantissa;
      shift[i] = m.shift;
      addend[i] = rule.addend_at(head);
    }
  }
};

// One call's arguments and one thread's working memory.
template <typename Simd>
struct Sharing {
  EdgeSoftmax edges;
  Requantize rule;
  MutableCodes out;
  Softmax<Simd> softmax;
};

// Stores the codes of the weights of `edges` edges from `begin` on.
template <typename Simd>
DEGREEQUANT_INLINE void store_shares(Sharing<Simd>& a, const SlotRules& rules, int64_t begin, int64_t edges) noexcept {
  auto& softmax = a.softmax;
  softmax.for_vectors(edges, [&](int64_t i, int64_t h) DEGREEQUANT_INLINE_LAMBDA {
    const auto multipliers = Simd::multipliers(Simd::load(softmax.mantissa + h), Simd::load(softmax.shift + h));
    const auto addend = Simd::load(rules.addend + h);
    Simd::store(softmax.weights + i, Simd::requantized(Simd::load(softmax.weights + i), multipliers, addend, a.rule.clamp));
  });
  const int32_t* indices = a.edges.csr.indices + begin;
  for (int64_t e = 0; e < edges; ++e) {
    for (int64_t h = 0; h < softmax.heads(); h += Simd::kLanes) {
      const auto codes = Simd::load(softmax.weights + e * softmax.slots() + h);
      Simd::store_codes(a.out.type, a.out.row(indices[e]), softmax.first_head() + h, softmax.heads() - h, codes);
    }
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void share_row(Sharing<Simd>& a, const SlotRules& rules, int64_t row) noexcept {
  auto& softmax = a.softmax;
  const int64_t begin = a.edges.csr.indptr[row];
  const int64_t end = a.edges.csr.indptr[row + 1];
  const auto for_chunks = [&](auto f) DEGREEQUANT_INLINE_LAMBDA {
    for (int64_t first = begin; first < end; first += softmax.chunk())
      f(first, end - first < softmax.chunk() ? end - first : softmax.chunk());
  };
  softmax.start(row);
  for_chunks([&](int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA { softmax.weigh(first, count); });
  softmax.invert();
  softmax.for_heads([&](int64_t h) DEGREEQUANT_INLINE_LAMBDA {
    int32_t *mantissa = softmax.mantissa + h, *shift = softmax.shift + h;
    const auto of_rule =
        Simd::combined(Simd::load(mantissa), Simd::load(shift), Simd::load(rules.mantissa + h), Simd::load(rules.shift + h), a.rule.limits);
    Simd::store_multipliers(of_rule, mantissa, shift);
  });
  for_chunks([&](int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
    if (end - begin > softmax.chunk()) softmax.weigh(first, count);  // it held another chunk in the meantime
    store_shares(a, rules, first, count);
  });
}

template <typename Simd>
DEGREEQUANT_INLINE void edge_softmax_with(const EdgeSoftmax& edges, const Requantize& rule, MutableCodes out, int64_t begin,
                                          int64_t end) noexcept {
  const Codes& logits = edges.logits;
  const LogitSource source = {.csr = edges.csr,
                              .rows = logits.data,
                              .stride = logits.stride,
                              .is_unsigned = logits.type == CodeType::u8,
                              .targets = nullptr,
                              .edges = {},
                              .heads = logits.cols,
                              .slope = kUnitSlope,
                              .table = edges.table,
                              .distances = 256};
  Sharing<Simd> a = {edges, rule, out, Softmax<Simd>(source)};
  for (int64_t first = 0; first < logits.cols; first += kGroupHeads) {
    const int64_t heads = logits.cols - first < kGroupHeads ? logits.cols - first : kGroupHeads;
    a.softmax.choose(first, heads);
    const SlotRules rules(rule, first, heads, a.softmax.slots());
    for (int64_t row = begin; row < end; ++row) {
      if (edges.csr.indptr[row] < edges.csr.indptr[row + 1]) share_row(a, rules, row);
    }
  }
}

}  // namespace degreequant
