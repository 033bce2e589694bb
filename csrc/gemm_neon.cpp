// x @ w^T with smlal on codes widened to 16 bits, which every aarch64 CPU has. The zero point is subtracted on the way, so nothing has to
// be taken back.
#include "kernels_neon.h"
#include "kernels_reference.h"
#include "requantize_neon.h"

namespace degreequant::neon {
namespace {

constexpr int kRows = 4;          // x rows a tile multiplies with the same weights
constexpr int64_t kPanel = 1024;  // inputs unpacked at a time
static_assert(kWeightBlock == 16 && kWeightGroup == 4 && kPanel % kWeightGroup == 0);

struct Panel {
  int16_t rows[kRows][kPanel];
};

struct Tile {
  int32x4_t acc[kRows][4] = {};
};

// `count` codes of one row from column `first` on, less the zero point, and zeros up to a whole group.
void unpack_row(Codes x, int32_t zero_point, int64_t row, int64_t first, int64_t count, int16_t* target) noexcept {
  const uint8_t* codes = x.row(row);
  reference::with_type(x.type, [&](auto type) {
    for (int64_t k = 0; k < count; ++k) target[k] = static_cast<int16_t>(reference::load_code<type()>(codes, first + k) - zero_point);
  });
  for (int64_t k = count; k % kWeightGroup != 0; ++k) target[k] = 0;
}

// Adds the products of `groups` groups of inputs to the tile; `weights` is where they begin in its block.
void multiply(const Panel& panel, int64_t groups, const int8_t* weights, Tile& tile) noexcept {
  for (int64_t g = 0; g < groups; ++g) {
    const int8x16x4_t w = vld4q_s8(weights + g * kWeightBlock * kWeightGroup);  // sixteen outputs of each input
    for (int k = 0; k < kWeightGroup; ++k) {
      const int16x8_t low = vmovl_s8(vget_low_s8(w.val[k]));
      const int16x8_t high = vmovl_high_s8(w.val[k]);
      for (int r = 0; r < kRows; ++r) {
        const int16_t input = panel.rows[r][g * kWeightGroup + k];
        int32x4_t* acc = tile.acc[r];
        acc[0] = vmlal_n_s16(acc[0], vget_low_s16(low), input);
        acc[1] = vmlal_high_n_s16(acc[1], low, input);
        acc[2] = vmlal_n_s16(acc[2], vget_low_s16(high), input);
        acc[3] = vmlal_high_n_s16(acc[3], high, input);
      }
    }
  }
}

}  // namespace

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  if (weight.wide || x.type == CodeType::i16 || x.type == CodeType::u16) {
    return reference::linear(x, zero_point, weight, requantize, out, begin, end);
  }
  const int64_t block_stride = (x.cols + kWeightGroup - 1) / kWeightGroup * kWeightGroup * kWeightBlock;
  Requantizer rule(requantize);
  Panel panel;
  for (int64_t row = begin; row < end; row += kRows) {
    const int64_t rows = end - row < kRows ? end - row : kRows;
    for (int64_t output = 0; output < weight.out; output += kWeightBlock) {
      const int8_t* weights = weight.packed + output / kWeightBlock * block_stride;
      Tile tile;
      for (int64_t first = 0; first < x.cols; first += kPanel) {
        const int64_t count = x.cols - first < kPanel ? x.cols - first : kPanel;
        // Rows beyond the last repeat it; they are computed and not stored.
        for (int64_t r = 0; r < kRows; ++r) unpack_row(x, zero_point, row + (r < rows ? r : rows - 1), first, count, panel.rows[r]);
        multiply(panel, (count + kWeightGroup - 1) / kWeightGroup, weights + first * kWeightBlock, tile);
      }
      for (int64_t r = 0; r < rows; ++r) {
        rule.start_row(row + r);
        for (int64_t i = 0; i < 4 && output + i * kLanes < out.cols; ++i) {
          const int64_t col = output + i * kLanes;
          store4(out.type, out.row(row + r), col, out.cols - col, rule.codes(tile.acc[r][i], col, out.cols - col));
        }
      }
    }
  }
}

}  // namespace degreequant::neon
