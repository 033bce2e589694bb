// x @ w^T with vpdpbusd, which multiplies unsigned by signed bytes: signed codes are offset to unsigned ones, and the offset, like the zero
// point, is taken back with the column sums. It adds without saturating, so an intermediate may wrap around: the result, which fits, has
// not.
#include "kernels_reference.h"
#include "kernels_x86.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {
namespace {

constexpr int kRows = 12;         // x rows a tile multiplies with the same weights
constexpr int64_t kPanel = 1024;  // inputs unpacked at a time: kRows of them stay in the first-level cache
constexpr int64_t kBlockBytes = kWeightBlock * kWeightGroup;
static_assert(kWeightBlock == kLanes && kPanel % 64 == 0);

struct Panel {
  alignas(64) uint8_t rows[kRows][kPanel];
};

DEGREEQUANT_INLINE int32_t offset_of(CodeType type) noexcept { return type == CodeType::i8 ? 128 : type == CodeType::i4 ? 8 : 0; }

// `count` codes of one row from column `first` (even) on, as unsigned bytes, padded to a whole vector with bytes that meet zero weights.
DEGREEQUANT_INLINE void unpack_row(Codes x, int64_t row, int64_t first, int64_t count, uint8_t* target) noexcept {
  const uint8_t* source = x.data + row * row_bytes(x.type, x.cols) + row_bytes(x.type, first);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(offset_of(x.type)));
  const bool nibbles = x.type == CodeType::i4 || x.type == CodeType::u4;
  for (int64_t k = 0; k < count; k += 64) {
    __m512i codes;
    if (nibbles) {
      const __mmask32 mask = static_cast<__mmask32>(first_lanes((count - k + 1) / 2));
      const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, source + k / 2));
      codes = _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4)), _mm512_set1_epi8(15));
    } else {
      codes = _mm512_maskz_loadu_epi8(first_lanes(count - k), source + k);
    }
    _mm512_store_si512(target + k, _mm512_xor_si512(codes, flip));
  }
}

DEGREEQUANT_INLINE void unpack(Codes x, int64_t row, int64_t rows, int64_t first, int64_t count, Panel& panel) noexcept {
  // Rows beyond the last repeat it; they are computed and not stored.
  for (int64_t r = 0; r < kRows; ++r) unpack_row(x, row + (r < rows ? r : rows - 1), first, count, panel.rows[r]);
}

template <int kBlocks>
struct Tile {
  __m512i acc[kRows][kBlocks];
};

// Adds the products of `groups` groups of inputs to the tile; `weights` is where they begin in its first block.
template <int kBlocks>
DEGREEQUANT_INLINE void multiply(const Panel& panel, int64_t groups, const int8_t* weights, int64_t block_stride,
                                 Tile<kBlocks>& tile) noexcept {
  Tile<kBlocks> sums = tile;
  for (int64_t g = 0; g < groups; ++g) {
    __m512i w[kBlocks];
    for (int b = 0; b < kBlocks; ++b) w[b] = _mm512_load_si512(weights + b * block_stride + g * kBlockBytes);
    for (int r = 0; r < kRows; ++r) {
      int32_t inputs;
      __builtin_memcpy(&inputs, panel.rows[r] + g * kWeightGroup, sizeof inputs);
      const __m512i x = _mm512_set1_epi32(inputs);
      for (int b = 0; b < kBlocks; ++b) sums.acc[r][b] = _mm512_dpbusd_epi32(sums.acc[r][b], x, w[b]);
    }
  }
  tile = sums;
}

struct Linear {
  Codes x;
  const Weight& weight;
  const Requantize& rule;
  MutableCodes out;
  int32_t zero_point;
};

// Requantizes and stores one block of outputs of a tile.
template <int kBlocks>
DEGREEQUANT_INLINE void store_block(const Linear& a, const Tile<kBlocks>& tile, int b, int64_t row, int64_t rows, int64_t output) noexcept {
  const int64_t count = a.out.cols - output;
  const __mmask16 mask = static_cast<__mmask16>(first_lanes(count));
  const int32_t taken_back = a.zero_point + offset_of(a.x.type);
  const __m512i correction = _mm512_mullo_epi32(_mm512_loadu_si512(a.weight.column_sums + output), _mm512_set1_epi32(taken_back));
  const __m512i addend = load_addend16(a.rule, output, mask);
  Multiplier16 m = load_multiplier16(a.rule, row, output, mask);
  for (int64_t r = 0; r < rows; ++r) {
    if (a.rule.row.count > 1 && r > 0) m = load_multiplier16(a.rule, row + r, output, mask);
    const __m512i codes = requantize16(_mm512_sub_epi32(tile.acc[r][b], correction), m, addend, a.rule.clamp);
    store16(a.out.type, a.out.data + (row + r) * row_bytes(a.out.type, a.out.cols), output, count, codes);
  }
}

// Outputs [output, output + 16 * kBlocks) of `rows` rows. The panel holds the rows already where all inputs fit it at once.
template <int kBlocks>
DEGREEQUANT_INLINE void compute_tile(const Linear& a, Panel& panel, int64_t row, int64_t rows, int64_t output) noexcept {
  const int64_t block_stride = (a.x.cols + kWeightGroup - 1) / kWeightGroup * kBlockBytes;
  const int8_t* weights = a.weight.packed + output / kWeightBlock * block_stride;
  Tile<kBlocks> tile = {};
  for (int64_t first = 0; first < a.x.cols; first += kPanel) {
    const int64_t count = a.x.cols - first < kPanel ? a.x.cols - first : kPanel;
    if (output == 0 || a.x.cols > kPanel) unpack(a.x, row, rows, first, count, panel);
    multiply<kBlocks>(panel, (count + kWeightGroup - 1) / kWeightGroup, weights + first * kWeightBlock, block_stride, tile);
  }
  for (int b = 0; b < kBlocks; ++b) store_block<kBlocks>(a, tile, b, row, rows, output + b * kWeightBlock);
}

}  // namespace

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  if (weight.wide || x.type == CodeType::i16 || x.type == CodeType::u16) {
    return reference::linear(x, zero_point, weight, requantize, out, begin, end);
  }
  const Linear a = {x, weight, requantize, out, zero_point};
  Panel panel;
  for (int64_t row = begin; row < end; row += kRows) {
    const int64_t rows = end - row < kRows ? end - row : kRows;
    int64_t output = 0;
    for (; output + kWeightBlock < weight.out; output += 2 * kWeightBlock) compute_tile<2>(a, panel, row, rows, output);
    if (output < weight.out) compute_tile<1>(a, panel, row, rows, output);
  }
}

}  // namespace degreequant::avx512
