// Sums over neighbours of codes of 16 bits, vectorised: a lane for each column. `Lanes` is what one instruction set calls its vectors
// (lanes_<isa>.h).
#pragma once

#include "aggregate_rows.h"

namespace degreequant {

// A code less its zero point is below 2^16 in magnitude: so many fit an int32 when summed, and so many products of a coefficient and one of
// its halves, the upper of which is signed.
constexpr int64_t kCountedWords = INT32_MAX / UINT16_MAX;
constexpr int64_t kWeightedWords = 128;
static_assert(kWeightedWords * -INT16_MIN * 256 <= INT32_MAX);

constexpr int64_t kWordsAhead = 8;  // edges ahead of which a row is asked for; Csr::indices are padded by more
static_assert(kWordsAhead < kIndexPadding);

// Sums of a block's columns, vector after vector.
template <typename Lanes, int kCount>
struct WordSums {
  static constexpr int kVectors = kCount;
  typename Lanes::Vector acc[kCount] = {};
};

// Columns of the gathered matrix, less the zero point.
template <typename Lanes, CodeType kType, int kVectors>
class WordColumns {
 public:
  using Sums = WordSums<Lanes, kVectors>;
  using Vector = typename Lanes::Vector;

  DEGREEQUANT_INLINE WordColumns(const NeighbourSum& sum, Columns columns) noexcept
      : sum_(sum), columns_(columns), zero_point_(Lanes::set(sum.zero_point)) {}

  // Calls f(v, codes) for each vector of a node's codes.
  template <typename F>
  DEGREEQUANT_INLINE void each(int64_t node, F f) const noexcept {
    const uint8_t* row = sum_.x.row(node);
    unrolled<kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t lane = v * Lanes::kLanes;
      f(v, Lanes::subtract(Lanes::load_codes(kType, row, columns_.first + lane, columns_.count - lane), zero_point_));
    });
  }

  // The source of an edge; the row of one that follows comes nearer meanwhile.
  DEGREEQUANT_INLINE int64_t source(int64_t edge) const noexcept {
    const uint8_t* ahead = sum_.x.row(sum_.csr.indices[edge + kWordsAhead]) + 2 * columns_.first;
    for (int64_t byte = 0; byte < 2 * columns_.count; byte += 64) __builtin_prefetch(ahead + byte);
    return sum_.csr.indices[edge];
  }

  // The sum of the edges [begin, end), at most kCountedWords.
  DEGREEQUANT_INLINE Sums count(int64_t begin, int64_t end) const noexcept {
    Sums sums;
    for (int64_t e = begin; e < end; ++e) {
      each(source(e), [&](auto v, Vector codes) DEGREEQUANT_INLINE_LAMBDA { sums.acc[v] = Lanes::add(sums.acc[v], codes); });
    }
    return sums;
  }

  // Adds the products of at most kWeightedWords edges.
  DEGREEQUANT_INLINE void weigh(int64_t begin, int64_t end, int64_t* wide) const noexcept {
    Sums low, high;
    for (int64_t e = begin; e < end; ++e) {
      const Vector factor = Lanes::set(sum_.coefficient[e]);
      each(source(e), [&](auto v, Vector codes) DEGREEQUANT_INLINE_LAMBDA {
        const Vector upper = Lanes::shift_right(codes, 8);
        const Vector lower = Lanes::subtract(codes, Lanes::shift_left(upper, 8));
        low.acc[v] = Lanes::add(low.acc[v], Lanes::multiply(lower, factor));
        high.acc[v] = Lanes::add(high.acc[v], Lanes::multiply(upper, factor));
      });
    }
    carry<Lanes>(low, 0, wide);
    carry<Lanes>(high, 8, wide);
  }

  // Adds the node's own term to a sum that fits.
  DEGREEQUANT_INLINE void add_own(int64_t row, Sums& sums) const noexcept {
    const Vector factor = Lanes::set(sum_.self_coefficient);
    each(row, [&](auto v, Vector codes) DEGREEQUANT_INLINE_LAMBDA {
      sums.acc[v] = Lanes::add(Lanes::shift_left(sums.acc[v], sum_.edge_shift), Lanes::multiply(codes, factor));
    });
  }

 private:
  const NeighbourSum& sum_;
  Columns columns_;
  Vector zero_point_;
};

// The accumulators of a row, in 64 bits.
template <typename Lanes, CodeType kType, int kVectors>
DEGREEQUANT_INLINE void sum_wide(const NeighbourSum& sum, const WordColumns<Lanes, kType, kVectors>& columns, int64_t row,
                                 int64_t* wide) noexcept {
  __builtin_memset(wide, 0, sizeof(int64_t) * kVectors * Lanes::kLanes);
  const int64_t end = sum.csr.indptr[row + 1];
  const int64_t chunk = sum.coefficient == nullptr ? kCountedWords : kWeightedWords;
  for (int64_t e = sum.csr.indptr[row]; e < end; e += chunk) {
    const int64_t stop = end - e < chunk ? end : e + chunk;
    if (sum.coefficient == nullptr) {
      carry<Lanes>(columns.count(e, stop), sum.edge_shift, wide);
    } else {
      columns.weigh(e, stop, wide);
    }
  }
  if (sum.self_coefficient == 0) return;
  WordSums<Lanes, kVectors> own;  // below 2^31: a coefficient of 15 bits times a code of 16
  columns.each(row, [&](auto v, typename Lanes::Vector codes)
                        DEGREEQUANT_INLINE_LAMBDA { own.acc[v] = Lanes::multiply(codes, Lanes::set(sum.self_coefficient)); });
  carry<Lanes>(own, 0, wide);
}

template <typename Lanes, CodeType kType, int kVectors>
[[gnu::noinline]] void aggregate_words_block(const Aggregation& a, int64_t begin, int64_t end, Columns columns) noexcept {
  const WordColumns<Lanes, kType, kVectors> words(a.sum, columns);
  typename Lanes::Requantizer rule(a.rule);
  for (int64_t row = begin; row < end; ++row) {
    rule.start_row(row);
    const int64_t from = a.sum.csr.indptr[row], to = a.sum.csr.indptr[row + 1];
    if (a.sum.coefficient != nullptr || to - from > a.narrow_edges) {
      alignas(64) int64_t wide[kVectors * Lanes::kLanes];
      sum_wide(a.sum, words, row, wide);
      store_wide<Lanes>(rule, a.out, row, columns, wide);
      continue;
    }
    auto sums = words.count(from, to);
    if (a.sum.has_self_term()) words.add_own(row, sums);
    uint8_t* target = a.out.row(row);
    unrolled<kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t col = columns.first + v * Lanes::kLanes, count = columns.count - v * Lanes::kLanes;
      Lanes::store_codes(a.out.type, target, col, count, rule.codes(sums.acc[v], col, count));
    });
  }
}

template <typename Lanes, CodeType kType>
DEGREEQUANT_INLINE void aggregate_words_of(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  constexpr int kMany = 4;
  for (int64_t row = begin; row < end; row += kRowsAtOnce) {
    const int64_t stop = end - row < kRowsAtOnce ? end : row + kRowsAtOnce;
    int64_t col = 0;
    for (; a.out.cols - col > (kMany - 1) * Lanes::kLanes; col += kMany * Lanes::kLanes) {
      const int64_t left = a.out.cols - col;
      aggregate_words_block<Lanes, kType, kMany>(a, row, stop, {col, left < kMany * Lanes::kLanes ? left : kMany * Lanes::kLanes});
    }
    for (; col < a.out.cols; col += Lanes::kLanes) {
      const int64_t left = a.out.cols - col;
      aggregate_words_block<Lanes, kType, 1>(a, row, stop, {col, left < Lanes::kLanes ? left : Lanes::kLanes});
    }
  }
}

// The codes of x are words.
template <typename Lanes>
DEGREEQUANT_INLINE void aggregate_words_with(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t begin,
                                             int64_t end) noexcept {
  const Aggregation a = {sum, rule, out, narrow_edges(sum)};
  if (sum.x.type == CodeType::i16) return aggregate_words_of<Lanes, CodeType::i16>(a, begin, end);
  aggregate_words_of<Lanes, CodeType::u16>(a, begin, end);
}

}  // namespace degreequant
