// Products and the softmax over edges, as plain loops.
#include <algorithm>

#include "from_real.h"
#include "kernels_reference.h"
#include "reference_codes.h"

namespace degreequant::reference {
namespace {

// The largest logit of a row of the csr.
template <CodeType type>
int32_t largest_logit(const EdgeSoftmax& softmax, int64_t row, int64_t head) {
  int32_t largest = INT32_MIN;
  for (int64_t e = softmax.csr.indptr[row]; e < softmax.csr.indptr[row + 1]; ++e) {
    const uint8_t* logits = softmax.logits.row(softmax.csr.indices[e]);
    largest = std::max(largest, load_code<type>(logits, head));
  }
  return largest;
}

template <CodeType type>
void softmax_row(const EdgeSoftmax& softmax, const Requantize& rule, MutableCodes out, int64_t row, int64_t head) {
  const int64_t begin = softmax.csr.indptr[row];
  const int64_t end = softmax.csr.indptr[row + 1];
  const int32_t largest = largest_logit<type>(softmax, row, head);
  const auto weight = [&](int64_t e) { return softmax.table[largest - load_code<type>(softmax.logits.row(softmax.csr.indices[e]), head)]; };
  int64_t total = 0;
  for (int64_t e = begin; e < end; ++e) total += weight(e);
  if (begin == end) return;
  const Multiplier share = from_real(1.0 / static_cast<double>(total));
  const Multiplier multiplier = bounded(combine(share, rule.channel.at(head)), rule.limits);
  for (int64_t e = begin; e < end; ++e) {
    uint8_t* target = out.row(softmax.csr.indices[e]);
    store_code(out.type, target, head, requantize_any(weight(e), multiplier, rule.addend_at(head), rule.clamp));
  }
}

}  // namespace

void multiply(const Product& product, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(product.a.type, [&](auto a_type) {
    with_type(product.b.type, [&](auto b_type) {
      for (int64_t row = begin; row < end; ++row) {
        const uint8_t* a = product.a.row(row);
        const uint8_t* b = product.b.row(row);
        uint8_t* target = out.row(row);
        for (int64_t col = 0; col < out.cols; ++col) {
          const int64_t factor = load_code<b_type()>(b, col / product.repeat) - product.b_zero;
          const int64_t acc = (load_code<a_type()>(a, col) - product.a_zero) * factor;
          store_code(out.type, target, col, requantize_any(acc, rule.multiplier(row, col), rule.addend_at(col), rule.clamp));
        }
      }
    });
  });
}

void edge_softmax(const EdgeSoftmax& softmax, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < softmax.logits.cols; ++head) {
      if (softmax.logits.type == CodeType::i8) {
        softmax_row<CodeType::i8>(softmax, rule, out, row, head);
      } else {
        softmax_row<CodeType::u8>(softmax, rule, out, row, head);
      }
    }
  }
}

}  // namespace degreequant::reference
