// Attention over the edges of a row, as plain loops. These files define correctness: every vectorised kernel must equal them bit for bit.
#include <algorithm>

#include "attention.h"
#include "kernels_reference.h"
#include "reference_codes.h"

namespace degreequant::reference {
namespace {

// The weighted sums of one row and head, for channels [first, first + width) of the head.
struct HeadSum {
  int64_t num[kBlock] = {};
  int64_t den = 0;
};

template <CodeType type>
HeadSum sum_head(const Attention& a, int64_t row, int64_t head, int64_t first, int64_t width) {
  const int64_t begin = a.csr.indptr[row];
  const int64_t end = a.csr.indptr[row + 1];
  const auto logit = [&](int64_t edge) { return leaky_relu(raw_logit(a, row, edge, head), a.slope); };
  int32_t largest = INT32_MIN;
  for (int64_t e = begin; e < end; ++e) largest = std::max(largest, logit(e));

  HeadSum sum;
  for (int64_t e = begin; e < end; ++e) {
    const int64_t weight = a.table[largest - logit(e)];
    const uint8_t* codes = a.x.row(a.csr.indices[e]);
    sum.den += weight;
    for (int64_t c = 0; c < width; ++c) sum.num[c] += weight * load_code<type>(codes, head * a.channels() + first + c);
  }
  return sum;
}

// Calls f(first, width) for blocks of a head's channels.
template <typename F>
void for_blocks(int64_t channels, F f) {
  for (int64_t first = 0; first < channels; first += kBlock) f(first, std::min(kBlock, channels - first));
}

template <CodeType type>
void store_side_by_side(const Attention& a, const Requantize& rule, int64_t row, CodeType out_type, uint8_t* target) {
  for (int64_t head = 0; head < a.heads; ++head) {
    for_blocks(a.channels(), [&](int64_t first, int64_t width) {
      const HeadSum sum = sum_head<type>(a, row, head, first, width);
      for (int64_t c = 0; c < width; ++c) {
        const int64_t col = head * a.channels() + first + c;
        const Multiplier m = bounded(combine(reciprocal(sum.den), rule.channel.at(col)), rule.limits);
        store_code(out_type, target, col, requantize_any(sum.num[c], m, rule.addend_at(col), rule.clamp));
      }
    });
  }
}

template <CodeType type>
void store_mean(const Attention& a, const Requantize& rule, int64_t row, CodeType out_type, uint8_t* target) {
  for_blocks(a.channels(), [&](int64_t first, int64_t width) {
    int64_t shares[kBlock] = {};
    for (int64_t head = 0; head < a.heads; ++head) {
      const HeadSum sum = sum_head<type>(a, row, head, first, width);
      for (int64_t c = 0; c < width; ++c) {
        const Multiplier m = bounded(combine(reciprocal(sum.den), rule.channel.at(first + c)), rule.limits);
        shares[c] += share_of(sum.num[c], m, rule.limits.least);
      }
    }
    for (int64_t c = 0; c < width; ++c) {
      store_code(out_type, target, first + c, code_of_shares(shares[c], rule.addend_at(first + c), rule.clamp));
    }
  });
}

}  // namespace

void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(attention.x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* target = out.row(row);
      if (attention.average) {
        store_mean<type()>(attention, requantize, row, out.type, target);
      } else {
        store_side_by_side<type()>(attention, requantize, row, out.type, target);
      }
    }
  });
}

}  // namespace degreequant::reference
