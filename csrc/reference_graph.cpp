// The operations that walk the edges of a graph, as plain loops. These files define correctness: every vectorised kernel must equal them
// bit for bit.
#include <algorithm>

#include "kernels_reference.h"
#include "reference_codes.h"

namespace degreequant::reference {
namespace {

// Accumulators of channels [first, first + width) of one row.
template <CodeType type>
void sum_neighbours(const NeighbourSum& sum, int64_t row, int64_t first, int64_t width, int64_t* acc) {
  const auto add_node = [&](int64_t node, int64_t coefficient) {
    const uint8_t* codes = sum.x.row(node);
    for (int64_t c = 0; c < width; ++c) acc[c] += coefficient * (load_code<type>(codes, first + c) - sum.zero_point);
  };
  std::fill(acc, acc + width, 0);
  for (int64_t e = sum.csr.indptr[row]; e < sum.csr.indptr[row + 1]; ++e) {
    add_node(sum.csr.indices[e], sum.coefficient == nullptr ? 1 : sum.coefficient[e]);
  }
  for (int64_t c = 0; c < width; ++c) acc[c] *= int64_t{1} << sum.edge_shift;
  if (sum.self_coefficient != 0) add_node(row, sum.self_coefficient);
}

}  // namespace

void aggregate(const NeighbourSum& sum, const Requantize& rule, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(sum.x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* target = out.row(row);
      for (int64_t first = 0; first < out.cols; first += kBlock) {
        const int64_t width = std::min(kBlock, out.cols - first);
        int64_t acc[kBlock];
        sum_neighbours<type()>(sum, row, first, width, acc);
        for (int64_t c = 0; c < width; ++c) {
          const int64_t col = first + c;
          store_code(out.type, target, col, requantize_any(acc[c], rule.multiplier(row, col), rule.addend_at(col), rule.clamp));
        }
      }
    }
  });
}

}  // namespace degreequant::reference
