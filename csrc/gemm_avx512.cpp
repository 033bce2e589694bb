// x @ w^T with vpdpbusd, which multiplies unsigned by signed bytes: signed codes are offset to unsigned ones, and the offset, like the zero
// point, is taken back with the column sums. It adds without saturating, so an intermediate may wrap around: the result, which fits, has
// not. Codes of 16 bits are two planes of bytes, whose products are added with the weights 256 and 1: in 64 bits where these may be needed.
#include "kernels_reference.h"
#include "kernels_x86.h"
#include "lanes_avx512.h"
#include "wide_codes.h"

namespace degreequant::avx512 {
namespace {

constexpr int kMaxRows = 6;       // x rows a tile multiplies with the same weights
constexpr int64_t kPanel = 2048;  // inputs unpacked at a time: kMaxRows of them stay in the first-level cache
constexpr int64_t kBlockBytes = kWeightBlock * kWeightGroup;
constexpr int64_t kFewOutputs = 2;  // a block of no more would mostly multiply by zeros
static_assert(kWeightBlock == kLanes && kPanel % 64 == 0);

struct Panel {
  alignas(64) uint8_t rows[kMaxRows][kPanel];
};

struct Linear {
  Codes x;
  const Weight& weight;
  MutableCodes out;
  int32_t taken_back;  // what each x is too large by
  int64_t block_stride;
  int64_t in_blocks;  // outputs that are computed block by block; the few behind them are not
  bool by_estimates;
};

DEGREEQUANT_INLINE bool is_word(CodeType type) noexcept { return type == CodeType::i16 || type == CodeType::u16; }

DEGREEQUANT_INLINE int32_t offset_of(CodeType type) noexcept {
  return type == CodeType::i16 ? 32768 : type == CodeType::i8 ? 128 : type == CodeType::i4 ? 8 : 0;
}

DEGREEQUANT_INLINE __m512i unpack_nibbles(__m256i nibbles) noexcept {
  const __m512i pairs = _mm512_cvtepu8_epi16(nibbles);
  return _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4)), _mm512_set1_epi8(15));
}

// `count` codes of kRows rows from column `first` (even) on, as unsigned bytes, padded to whole vectors with bytes that meet zero weights.
template <int kRows>
DEGREEQUANT_INLINE void unpack_rows(Codes x, int64_t row, int64_t first, int64_t count, Panel& panel) noexcept {
  const uint8_t* source = x.row(row) + row_bytes(x.type, first);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(offset_of(x.type)));
  const bool nibbles = x.type == CodeType::i4 || x.type == CodeType::u4;
  for (int64_t k = 0; k < count; k += 64) {
    const __mmask64 mask = first_lanes(nibbles ? (count - k + 1) / 2 : count - k);
    unrolled<kRows>([&](auto r) DEGREEQUANT_INLINE_LAMBDA {
      const uint8_t* codes = source + r * x.stride;
      const __m512i unpacked = nibbles ? unpack_nibbles(_mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), codes + k / 2))
                                       : _mm512_maskz_loadu_epi8(mask, codes + k);
      _mm512_store_si512(panel.rows[r] + k, _mm512_xor_si512(unpacked, flip));
    });
  }
}

// A plane of as many codes of 16 bits: their lower bytes, or their upper ones.
DEGREEQUANT_INLINE void unpack_words(Codes x, int64_t row, int64_t first, int64_t count, bool upper, uint8_t* target) noexcept {
  const uint8_t* source = x.row(row) + row_bytes(x.type, first);
  const __m512i flip = _mm512_set1_epi16(static_cast<int16_t>(offset_of(x.type)));
  for (int64_t k = 0; k < count; k += 32) {
    const __mmask32 mask = static_cast<__mmask32>(first_lanes(count - k));
    const __m512i words = _mm512_xor_si512(_mm512_maskz_loadu_epi16(mask, source + 2 * k), flip);
    const __m256i bytes = _mm512_cvtepi16_epi8(upper ? _mm512_srli_epi16(words, 8) : words);
    _mm256_store_si256(reinterpret_cast<__m256i*>(target + k), bytes);
  }
}

// Adds the products of bytes, four in each lane. The intrinsic lets GCC copy the accumulator to and fro in the innermost loop.
DEGREEQUANT_INLINE void add_products(__m512i& acc, __m512i unsigned_bytes, __m512i signed_bytes) noexcept {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(unsigned_bytes), "v"(signed_bytes));
}

template <int kRows, int kBlocks>
struct Tile {
  __m512i acc[kRows][kBlocks] = {};

  // f(sum, block) in place of each sum.
  template <typename F>
  DEGREEQUANT_INLINE void update(F f) noexcept {
    for (int b = 0; b < kBlocks; ++b) {
      for (int r = 0; r < kRows; ++r) acc[r][b] = f(acc[r][b], b);
    }
  }
};

// Adds the products of `groups` groups of inputs to the tile; `weights` is where they begin in its first block. Meanwhile the rows that
// follow, from `next` on, come nearer: unpacking them would wait for memory.
template <int kRows, int kBlocks>
DEGREEQUANT_INLINE void multiply(const Panel& panel, int64_t groups, const int8_t* weights, int64_t block_stride, const uint8_t* next,
                                 Tile<kRows, kBlocks>& tile) noexcept {
  Tile<kRows, kBlocks> sums = tile;
  for (int64_t g = 0; g < groups; ++g) {
    __builtin_prefetch(next + g * kRows * kWeightGroup);
    __m512i w[kBlocks];
    for (int b = 0; b < kBlocks; ++b) w[b] = _mm512_load_si512(weights + b * block_stride + g * kBlockBytes);
    for (int r = 0; r < kRows; ++r) {
      int32_t inputs;
      __builtin_memcpy(&inputs, panel.rows[r] + g * kWeightGroup, sizeof inputs);
      const __m512i x = _mm512_set1_epi32(inputs);
      for (int b = 0; b < kBlocks; ++b) add_products(sums.acc[r][b], x, w[b]);
    }
  }
  tile = sums;
}

// Stores the codes of a tile.
template <int kRows, int kBlocks>
[[gnu::noinline]] void store_tile(const Linear& a, Requantizer rule, const Tile<kRows, kBlocks>& tile, int64_t row,
                                  int64_t output) noexcept {
  for (int r = 0; r < kRows; ++r) {
    rule.start_row(row + r);
    for (int b = 0; b < kBlocks; ++b) {
      const int64_t col = output + b * kWeightBlock;
      const int64_t count = a.out.cols - col;
      store16(a.out.type, a.out.row(row + r), col, count, rule.codes(tile.acc[r][b], col, count));
    }
  }
}

// The same by estimates alone, of rows without multipliers of their own: whether they are sure. It calls nothing, so that the tile stays
// in registers. Four vectors are packed and stored together; kWhole if all of their codes are bytes of the output.
template <bool kWhole, int kRows, int kBlocks>
DEGREEQUANT_INLINE bool store_estimates(const Linear& a, const Requantizer& rule, const CodePacker& packer,
                                        const Tile<kRows, kBlocks>& tile, int64_t row, int64_t output) noexcept {
  constexpr int kVectors = kRows * kBlocks;
  constexpr int kRowsAtOnce = 4 / kBlocks;
  const MutableCodes out = a.out;
  const int64_t count = out.cols - output;
  Requantizer::Channels channels[kBlocks];
  for (int b = 0; b < kBlocks; ++b) channels[b] = rule.word_channels(output + b * kWeightBlock);
  __m512i least = Requantizer::none();
  uint8_t* target = out.row(row);
  unrolled<(kVectors + 3) / 4>([&](auto group) DEGREEQUANT_INLINE_LAMBDA {
    __m512i words[4];
    unrolled<4>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
      constexpr int v = 4 * group + i < kVectors ? 4 * group + i : kVectors - 1;
      words[i] = Requantizer::words(tile.acc[v / kBlocks][v % kBlocks], channels[v % kBlocks]);
      least = EstimateLanes::smaller_words(least, words[i]);
    });
    const __m512i codes = packer.pack(words);
    unrolled<kRowsAtOnce>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
      if constexpr (kRowsAtOnce * group + i < kRows) {
        kWhole ? CodePacker::store_whole<kRowsAtOnce, i>(target + output, codes)
               : packer.store<kRowsAtOnce, i>(target, output, count, codes);
        target += out.stride;
      }
    });
  });
  return !rule.unsure_words(least);
}

// Adds the products of all inputs of kRows rows with the outputs [output, output + 16 * kBlocks). The panel holds the rows already where
// all inputs fit it at once.
template <int kRows, int kBlocks>
DEGREEQUANT_INLINE void multiply_bytes(const Linear& a, Panel& panel, int64_t row, int64_t output, Tile<kRows, kBlocks>& tile) noexcept {
  const int8_t* weights = a.weight.packed + output / kWeightBlock * a.block_stride;
  for (int64_t first = 0; first < a.x.cols; first += kPanel) {
    const int64_t count = a.x.cols - first < kPanel ? a.x.cols - first : kPanel;
    if (output == 0 || a.x.cols > kPanel) unpack_rows<kRows>(a.x, row, first, count, panel);
    const uint8_t* next = a.x.row(row + kRows) + kRows * first;
    multiply(panel, (count + kWeightGroup - 1) / kWeightGroup, weights + first * kWeightBlock, a.block_stride, next, tile);
  }
}

// The same of one plane of codes of 16 bits.
template <int kRows, int kBlocks>
DEGREEQUANT_INLINE void multiply_plane(const Linear& a, Panel& panel, int64_t row, int64_t output, bool upper,
                                       Tile<kRows, kBlocks>& tile) noexcept {
  const int8_t* weights = a.weight.packed + output / kWeightBlock * a.block_stride;
  for (int64_t first = 0; first < a.x.cols; first += kPanel) {
    const int64_t count = a.x.cols - first < kPanel ? a.x.cols - first : kPanel;
    for (int r = 0; r < kRows; ++r) unpack_words(a.x, row + r, first, count, upper, panel.rows[r]);
    const uint8_t* next = a.x.row(row + kRows);
    multiply(panel, (count + kWeightGroup - 1) / kWeightGroup, weights + first * kWeightBlock, a.block_stride, next, tile);
  }
}

// Stores the codes of the sums of two planes, which together may take 64 bits.
template <int kRows, int kBlocks>
[[gnu::noinline]] void store_planes(const Linear& a, Requantizer rule, const Tile<kRows, kBlocks>& upper, const Tile<kRows, kBlocks>& lower,
                                    int64_t row, int64_t output) noexcept {
  for (int r = 0; r < kRows; ++r) {
    rule.start_row(row + r);
    for (int b = 0; b < kBlocks; ++b) {
      const int64_t col = output + b * kWeightBlock;
      alignas(64) int32_t sums[2][kLanes];
      _mm512_store_si512(sums[0], upper.acc[r][b]);
      _mm512_store_si512(sums[1], lower.acc[r][b]);
      alignas(64) int64_t acc[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        acc[i] = int64_t{sums[0][i]} * 256 + sums[1][i] - int64_t{a.taken_back} * a.weight.column_sums[col + i];
      }
      store_wide<Lanes>(rule, a.out, row + r, {col, a.out.cols - col < kLanes ? a.out.cols - col : kLanes}, acc);
    }
  }
}

template <int kRows, int kBlocks>
DEGREEQUANT_INLINE void finish_tile(const Linear& a, const Requantizer& rule, const Tile<kRows, kBlocks>& tile, int64_t row,
                                    int64_t output) noexcept {
  if (a.by_estimates) {
    const CodePacker packer(rule.rule().clamp, a.out.type);
    const bool whole = is_byte(a.out.type) && a.out.cols - output >= kBlocks * kWeightBlock;
    const bool sure =
        whole ? store_estimates<true>(a, rule, packer, tile, row, output) : store_estimates<false>(a, rule, packer, tile, row, output);
    if (sure) return;
  }
  const Tile<kRows, kBlocks> copy = tile;
  store_tile(a, rule, copy, row, output);
}

// Outputs [output, output + 16 * kBlocks) of kRows rows.
template <bool kWords, int kRows, int kBlocks>
DEGREEQUANT_INLINE void compute_tile(const Linear& a, const Requantizer& rule, Panel& panel, int64_t row, int64_t output) noexcept {
  Tile<kRows, kBlocks> tile;
  if constexpr (kWords) {
    multiply_plane(a, panel, row, output, true, tile);
    if (a.weight.wide) {
      Tile<kRows, kBlocks> lower;
      multiply_plane(a, panel, row, output, false, lower);
      return store_planes(a, rule, tile, lower, row, output);
    }
    tile.update([](__m512i sum, int) DEGREEQUANT_INLINE_LAMBDA { return _mm512_slli_epi32(sum, 8); });
  }
  tile.update([&](__m512i sum, int b) DEGREEQUANT_INLINE_LAMBDA {
    const __m512i sums = _mm512_loadu_si512(a.weight.column_sums + output + b * kWeightBlock);
    return _mm512_add_epi32(sum, _mm512_mullo_epi32(sums, _mm512_set1_epi32(-a.taken_back)));
  });
  if constexpr (kWords) {
    multiply_plane(a, panel, row, output, false, tile);
  } else {
    multiply_bytes(a, panel, row, output, tile);
  }
  finish_tile(a, rule, tile, row, output);
}

// The outputs behind the blocks, of rows that the panel holds: 64 inputs of one at a time.
template <int kRows>
DEGREEQUANT_INLINE void compute_few(const Linear& a, const Requantizer& rule, const Panel& panel, int64_t row) noexcept {
  Tile<kRows, 1> tile;
  for (int64_t output = a.in_blocks; output < a.weight.out; ++output) {
    const int8_t* weights = a.weight.codes + output * a.weight.in;
    const int32_t taken_back = a.taken_back * a.weight.column_sums[output];
    __m512i sums[kRows] = {};
    for (int64_t k = 0; k < a.x.cols; k += 64) {
      const __m512i w = _mm512_maskz_loadu_epi8(first_lanes(a.x.cols - k), weights + k);
      for (int r = 0; r < kRows; ++r) add_products(sums[r], _mm512_load_si512(panel.rows[r] + k), w);
    }
    const __mmask16 lane = static_cast<__mmask16>(1 << (output - a.in_blocks));
    for (int r = 0; r < kRows; ++r) {
      tile.acc[r][0] = _mm512_mask_set1_epi32(tile.acc[r][0], lane, _mm512_reduce_add_epi32(sums[r]) - taken_back);
    }
  }
  finish_tile(a, rule, tile, row, a.in_blocks);
}

// All outputs of kRows rows.
template <bool kWords, int kRows>
DEGREEQUANT_INLINE void compute_rows(const Linear& a, const Requantizer& rule, Panel& panel, int64_t row) noexcept {
  int64_t output = 0;
  for (; output + kWeightBlock < a.in_blocks; output += 2 * kWeightBlock) compute_tile<kWords, kRows, 2>(a, rule, panel, row, output);
  if (output < a.in_blocks) compute_tile<kWords, kRows, 1>(a, rule, panel, row, output);
  if constexpr (!kWords) {
    if (a.in_blocks < a.weight.out) compute_few<kRows>(a, rule, panel, row);
  }
}

// The same of as many rows as are left, at most kRows: one tile, since several would each wait for their products.
template <bool kWords, int kRows>
DEGREEQUANT_INLINE void compute_last(const Linear& a, const Requantizer& rule, Panel& panel, int64_t row, int64_t left) noexcept {
  if constexpr (kRows > 0) {
    if (left == kRows) return compute_rows<kWords, kRows>(a, rule, panel, row);
    compute_last<kWords, kRows - 1>(a, rule, panel, row, left);
  }
}

template <bool kWords>
[[gnu::noinline]] void compute_all(const Linear& a, const Requantize& requantize, int64_t begin, int64_t end) noexcept {
  const Requantizer rule(requantize);
  Panel panel;
  for (; end - begin >= kMaxRows; begin += kMaxRows) compute_rows<kWords, kMaxRows>(a, rule, panel, begin);
  compute_last<kWords, kMaxRows - 1>(a, rule, panel, begin, end - begin);
}

// How many outputs are computed block by block: all, unless a few are left behind whole blocks and the panel holds all inputs.
DEGREEQUANT_INLINE int64_t outputs_in_blocks(Codes x, int64_t outputs) noexcept {
  const int64_t whole = outputs / kWeightBlock * kWeightBlock;
  return whole > 0 && outputs - whole <= kFewOutputs && !is_word(x.type) && x.cols <= kPanel ? whole : outputs;
}

}  // namespace

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  if (weight.wide && !(is_word(x.type) && x.cols <= kMaxPlaneInputs))
    return reference::linear(x, zero_point, weight, requantize, out, begin, end);
  const int64_t block_stride = (x.cols + kWeightGroup - 1) / kWeightGroup * kBlockBytes;
  const Linear a = {.x = x,
                    .weight = weight,
                    .out = out,
                    .taken_back = zero_point + offset_of(x.type),
                    .block_stride = block_stride,
                    .in_blocks = outputs_in_blocks(x, weight.out),
                    .by_estimates = requantize.row.count == 0 && requantize.prepared.estimate.possible && !is_word(out.type)};
  if (begin == end || weight.out == 0) return;
  is_word(x.type) ? compute_all<true>(a, requantize, begin, end) : compute_all<false>(a, requantize, begin, end);
}

}  // namespace degreequant::avx512
