// Channels of one row, and rows of one graph, brought together, as plain loops.
#include <algorithm>
#include <cmath>

#include "from_real.h"
#include "reference_codes.h"
#include "row_kernels.h"

namespace degreequant::reference {
namespace {

constexpr int32_t kCentreBits = 14;

// Of the elements of a set: how many, their sum, and the sum of their squares.
struct Moments {
  int64_t count = 0;
  int64_t sum = 0;
  int64_t squares = 0;

  void add(int64_t value) noexcept {
    ++count;
    sum += value;
    squares += value * value;
  }
};

// What n * (element) - centre * (sum) is multiplied by, in float64 and in this order (docs/numerics.md, "standardize").
Multiplier scale_of(const Moments& m, int32_t centre, const Standardization& s) noexcept {
  if (m.count == 0) return {0, 0};
  const double count = static_cast<double>(m.count);
  if (s.divisor == Divisor::kNone) return from_real(1.0 / count);
  if (s.divisor == Divisor::kSize) return from_real(1.0 / (count * std::sqrt(count)));
  const double mean = static_cast<double>(m.sum) / count;
  const double share = static_cast<double>(centre) / (1 << kCentreBits);
  const double variance = static_cast<double>(m.squares) / count - ((2.0 - share) * share) * (mean * mean);
  const double root = std::sqrt(std::max(variance, 0.0) + s.inner) + s.outer;
  const double divisor = count * root;
  return from_real(divisor == 0 ? 0.0 : 1.0 / divisor);
}

int32_t centre_of(const Standardization& s, int64_t col) noexcept { return s.centre[s.centres == 1 ? 0 : col]; }

void store(const Standardization& s, const Moments& m, Multiplier scale, int64_t value, const Requantize& rule, MutableCodes out,
           uint8_t* row, int64_t col) noexcept {
  const int64_t acc = (m.count * value * (int64_t{1} << kCentreBits)) - centre_of(s, col) * m.sum;
  const Multiplier multiplier = bounded(combine(scale, rule.channel.at(col)), rule.limits);
  store_code(out.type, row, col, requantize_any(acc, multiplier, rule.addend_at(col), rule.clamp));
}

template <CodeType type>
int64_t value_at(const Standardization& s, int64_t row, int64_t col) noexcept {
  return load_code<type>(s.x.row(row), col) - s.zero_point;
}

// Without indices the rows of a graph lie together.
int64_t row_of(const Csr& csr, int64_t e) noexcept { return csr.indices == nullptr ? e : csr.indices[e]; }

// The columns [first, last) of the rows of one graph, each a set of its own.
template <CodeType type>
void standardize_columns(const Standardization& s, const Csr& csr, int64_t graph, int64_t first, int64_t last, const Requantize& rule,
                         MutableCodes out) noexcept {
  Moments moments[kBlock];
  Multiplier scale[kBlock];
  const int64_t begin = csr.indptr[graph];
  const int64_t end = csr.indptr[graph + 1];
  for (int64_t e = begin; e < end; ++e) {
    for (int64_t col = first; col < last; ++col) moments[col - first].add(value_at<type>(s, row_of(csr, e), col));
  }
  for (int64_t col = first; col < last; ++col) scale[col - first] = scale_of(moments[col - first], centre_of(s, col), s);
  for (int64_t e = begin; e < end; ++e) {
    uint8_t* row = out.row(row_of(csr, e));
    for (int64_t col = first; col < last; ++col) {
      store(s, moments[col - first], scale[col - first], value_at<type>(s, row_of(csr, e), col), rule, out, row, col);
    }
  }
}

// All elements of the rows of one graph are one set.
template <CodeType type>
void standardize_whole(const Standardization& s, const Csr& csr, int64_t graph, const Requantize& rule, MutableCodes out) noexcept {
  Moments moments;
  const int64_t begin = csr.indptr[graph];
  const int64_t end = csr.indptr[graph + 1];
  for (int64_t e = begin; e < end; ++e) {
    for (int64_t col = 0; col < s.x.cols; ++col) moments.add(value_at<type>(s, row_of(csr, e), col));
  }
  const Multiplier scale = scale_of(moments, s.centre[0], s);
  for (int64_t e = begin; e < end; ++e) {
    uint8_t* row = out.row(row_of(csr, e));
    for (int64_t col = 0; col < s.x.cols; ++col) {
      store(s, moments, scale, value_at<type>(s, row_of(csr, e), col), rule, out, row, col);
    }
  }
}

}  // namespace

void standardize_rows(const Standardization& s, int64_t groups, const Requantize& rule, MutableCodes out, int64_t begin,
                      int64_t end) noexcept {
  const int64_t width = s.x.cols / groups;
  with_type(s.x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* target = out.row(row);
      for (int64_t first = 0; first < s.x.cols; first += width) {
        Moments moments;
        for (int64_t col = first; col < first + width; ++col) moments.add(value_at<type()>(s, row, col));
        const Multiplier scale = scale_of(moments, s.centre[0], s);
        for (int64_t col = first; col < first + width; ++col) {
          store(s, moments, scale, value_at<type()>(s, row, col), rule, out, target, col);
        }
      }
    }
  });
}

void standardize_graphs(const Standardization& s, Csr csr, bool each_channel, const Requantize& rule, MutableCodes out, int64_t begin,
                        int64_t end) noexcept {
  with_type(s.x.type, [&](auto type) {
    for (int64_t graph = begin; graph < end; ++graph) {
      if (!each_channel) {
        standardize_whole<type()>(s, csr, graph, rule, out);
        continue;
      }
      for (int64_t first = 0; first < s.x.cols; first += kBlock) {
        standardize_columns<type()>(s, csr, graph, first, std::min(first + kBlock, s.x.cols), rule, out);
      }
    }
  });
}

void contract(const Contraction& c, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(c.a.type, [&](auto a_type) {
    with_type(c.b.type, [&](auto b_type) {
      for (int64_t row = begin; row < end; ++row) {
        const uint8_t* a = c.a.row(row);
        const uint8_t* b = c.b.row(row);
        uint8_t* target = out.row(row);
        for (int64_t col = 0; col < out.cols; ++col) {
          const int64_t j = col % c.cols;
          const int64_t line = col / c.cols;  // of all groups' matrices, one below the other
          const int64_t group = line / c.rows;
          int64_t acc = 0;
          for (int64_t k = 0; k < c.inner; ++k) {
            const int64_t factor = load_code<b_type()>(b, (group * c.inner + k) * c.cols + j) - c.b_zero;
            acc += (load_code<a_type()>(a, line * c.inner + k) - c.a_zero) * factor;
          }
          store_code(out.type, target, col, requantize_any(acc, rule.multiplier(row, col), rule.addend_at(col), rule.clamp));
        }
      }
    });
  });
}

void row_softmax(const RowSoftmax& softmax, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const int64_t width = softmax.logits.cols / softmax.groups;
  const auto shares = [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* logits = softmax.logits.row(row);
      uint8_t* target = out.row(row);
      for (int64_t first = 0; first < softmax.logits.cols; first += width) {
        int32_t most = INT32_MIN;
        for (int64_t col = first; col < first + width; ++col) most = std::max(most, load_code<type()>(logits, col));
        int64_t total = 0;
        for (int64_t col = first; col < first + width; ++col) total += softmax.table[most - load_code<type()>(logits, col)];
        const Multiplier share = from_real(1.0 / static_cast<double>(total));
        for (int64_t col = first; col < first + width; ++col) {
          const int64_t weight = softmax.table[most - load_code<type()>(logits, col)];
          const Multiplier multiplier = bounded(combine(share, rule.channel.at(col)), rule.limits);
          store_code(out.type, target, col, requantize_any(weight, multiplier, rule.addend_at(col), rule.clamp));
        }
      }
    }
  };
  if (softmax.logits.type == CodeType::i8) return shares(std::integral_constant<CodeType, CodeType::i8>{});
  shares(std::integral_constant<CodeType, CodeType::u8>{});
}

void largest(const Largest& l, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(l.x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* x = l.x.row(row);
      uint8_t* target = out.row(row);
      for (int64_t col = 0; col < out.cols; ++col) {
        const int64_t first = col / l.inner * l.size * l.inner + col % l.inner;
        int32_t most = INT32_MIN;
        for (int64_t k = 0; k < l.size; ++k) most = std::max(most, load_code<type()>(x, first + k * l.inner));
        store_code(out.type, target, col, most);
      }
    }
  });
}

}  // namespace degreequant::reference
