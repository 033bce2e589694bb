// x @ w^T with vpmaddwd on codes widened to 16 bits: vpmaddubsw would saturate. The zero point is subtracted on the way, so nothing has to
// be taken back. Codes of 16 bits are two planes of bytes, whose products are added with the weights 256 and 1: in 64 bits where these may
// be needed, else in sums that may wrap around on their way, of which the result, which fits, has not.
#include "kernels_reference.h"
#include "kernels_x86.h"
#include "lanes_avx2.h"
#include "wide_codes.h"

namespace degreequant::avx2 {
namespace {

constexpr int kRows = 3;          // x rows a tile multiplies with the same weights: 12 accumulators and their operands fill the registers
constexpr int kQuarters = 4;      // of a block of weights: four outputs by four inputs in a vector
constexpr int64_t kPanel = 1024;  // inputs unpacked at a time
constexpr int64_t kBlockBytes = kWeightBlock * kWeightGroup;
static_assert(kWeightBlock == 2 * kLanes && kPanel % 32 == 0);

struct Panel {
  alignas(32) int16_t rows[kRows][kPanel];
};

struct Linear {
  Codes x;
  const Weight& weight;
  MutableCodes out;
  int32_t zero_point;
};

// The 32 codes that lie in `bytes`, as int16.
DEGREEQUANT_INLINE void widen(CodeType type, __m256i bytes, __m256i codes[2]) noexcept {
  const __m128i low = _mm256_castsi256_si128(bytes);
  const __m128i high = _mm256_extracti128_si256(bytes, 1);
  codes[0] = type == CodeType::i8 ? _mm256_cvtepi8_epi16(low) : _mm256_cvtepu8_epi16(low);
  codes[1] = type == CodeType::i8 ? _mm256_cvtepi8_epi16(high) : _mm256_cvtepu8_epi16(high);
}

// Nibbles to bytes: 32 codes from the low 16 bytes, signed ones offset by 8.
DEGREEQUANT_INLINE __m256i spread(CodeType type, __m256i bytes) noexcept {
  const __m256i pairs = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes));
  const __m256i codes = _mm256_and_si256(_mm256_or_si256(pairs, _mm256_slli_epi16(pairs, 4)), _mm256_set1_epi8(15));
  return _mm256_xor_si256(codes, _mm256_set1_epi8(type == CodeType::i4 ? 8 : 0));
}

// `count` codes of one row from column `first` (even) on, less the zero point; what pads them to whole vectors meets zero weights.
DEGREEQUANT_INLINE void unpack_row(const Linear& a, int64_t row, int64_t first, int64_t count, int16_t* target) noexcept {
  const bool nibbles = a.x.type == CodeType::i4 || a.x.type == CodeType::u4;
  const uint8_t* source = a.x.row(row) + row_bytes(a.x.type, first);
  const int64_t size = row_bytes(a.x.type, count);
  const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(a.zero_point + (a.x.type == CodeType::i4 ? 8 : 0)));
  const int64_t step = nibbles ? 16 : 32;
  for (int64_t byte = 0; byte < size; byte += step) {
    alignas(32) uint8_t bytes[32] = {};
    const int64_t left = size - byte < step ? size - byte : step;
    if (left == 32) {
      __builtin_memcpy(bytes, source + byte, 32);
    } else {
      for (int64_t i = 0; i < left; ++i) bytes[i] = source[byte + i];
    }
    __m256i vector = _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
    if (nibbles) vector = spread(a.x.type, vector);
    __m256i codes[2];
    widen(a.x.type, vector, codes);
    __m256i* out = reinterpret_cast<__m256i*>(target + (nibbles ? 2 * byte : byte));
    _mm256_store_si256(out, _mm256_sub_epi16(codes[0], zero));
    _mm256_store_si256(out + 1, _mm256_sub_epi16(codes[1], zero));
  }
}

// A plane of as many codes of 16 bits, less that of the zero point: their upper bytes, which have the sign, or their lower ones.
DEGREEQUANT_INLINE void unpack_words(const Linear& a, int64_t row, int64_t first, int64_t count, bool upper, int16_t* target) noexcept {
  const uint8_t* source = a.x.row(row) + row_bytes(a.x.type, first);
  const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(upper ? a.zero_point >> 8 : a.zero_point & 255));
  for (int64_t k = 0; k < count; k += 16) {
    alignas(32) uint8_t bytes[32] = {};
    const int64_t size = 2 * (count - k < 16 ? count - k : 16);
    if (size == 32) {
      __builtin_memcpy(bytes, source + 2 * k, 32);
    } else {
      for (int64_t i = 0; i < size; ++i) bytes[i] = source[2 * k + i];
    }
    const __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i high = a.x.type == CodeType::i16 ? _mm256_srai_epi16(words, 8) : _mm256_srli_epi16(words, 8);
    const __m256i plane = upper ? high : _mm256_and_si256(words, _mm256_set1_epi16(255));
    _mm256_store_si256(reinterpret_cast<__m256i*>(target + k), _mm256_sub_epi16(plane, zero));
  }
}

struct Tile {
  __m256i acc[kRows][kQuarters];  // two 32-bit lanes for each of a quarter's four outputs
};

// Adds the products of `groups` groups of inputs to the tile; `weights` is where they begin in its block.
DEGREEQUANT_INLINE void multiply(const Panel& panel, int64_t groups, const int8_t* weights, Tile& tile) noexcept {
  Tile sums = tile;
  for (int64_t g = 0; g < groups; ++g) {
    __m256i x[kRows];
    for (int r = 0; r < kRows; ++r) {
      int64_t inputs;
      __builtin_memcpy(&inputs, panel.rows[r] + g * kWeightGroup, sizeof inputs);
      x[r] = _mm256_set1_epi64x(inputs);
    }
    for (int q = 0; q < kQuarters; ++q) {
      const __m128i* quarter = reinterpret_cast<const __m128i*>(weights + g * kBlockBytes) + q;
      const __m256i w = _mm256_cvtepi8_epi16(_mm_load_si128(quarter));
      for (int r = 0; r < kRows; ++r) sums.acc[r][q] = _mm256_add_epi32(sums.acc[r][q], _mm256_madd_epi16(w, x[r]));
    }
  }
  tile = sums;
}

// Eight outputs from two quarters' accumulators.
DEGREEQUANT_INLINE __m256i add_pairs(__m256i low, __m256i high) noexcept {
  return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xd8);
}

DEGREEQUANT_INLINE void store_tile(const Linear& a, Requantizer& rule, const Tile& tile, int64_t row, int64_t rows,
                                   int64_t output) noexcept {
  for (int64_t r = 0; r < rows; ++r) {
    rule.start_row(row + r);
    for (int half = 0; half < 2; ++half) {
      const int64_t col = output + half * kLanes;
      const int64_t count = a.out.cols - col;
      if (count <= 0) continue;
      const __m256i acc = add_pairs(tile.acc[r][2 * half], tile.acc[r][2 * half + 1]);
      store8(a.out.type, a.out.row(row + r), col, count, rule.codes(acc, col, count));
    }
  }
}

// Stores the codes of the sums of two planes, which together may take 64 bits.
[[gnu::noinline]] void store_planes(const Linear& a, Requantizer& rule, const Tile& upper, const Tile& lower, int64_t row, int64_t rows,
                                    int64_t output) noexcept {
  for (int64_t r = 0; r < rows; ++r) {
    rule.start_row(row + r);
    for (int half = 0; half < 2; ++half) {
      const int64_t col = output + half * kLanes;
      if (col >= a.out.cols) continue;
      alignas(32) int32_t sums[2][kLanes];
      Simd::store(sums[0], add_pairs(upper.acc[r][2 * half], upper.acc[r][2 * half + 1]));
      Simd::store(sums[1], add_pairs(lower.acc[r][2 * half], lower.acc[r][2 * half + 1]));
      int64_t acc[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) acc[i] = int64_t{sums[0][i]} * 256 + sums[1][i];
      store_wide<Lanes>(rule, a.out, row + r, {col, a.out.cols - col < kLanes ? a.out.cols - col : kLanes}, acc);
    }
  }
}

// Adds the products of all inputs of `rows` rows with the outputs [output, output + 16). Rows beyond the last repeat it; they are computed
// and not stored.
template <typename Unpack>
DEGREEQUANT_INLINE void multiply_rows(const Linear& a, Panel& panel, int64_t row, int64_t rows, int64_t output, Unpack unpack,
                                      Tile& tile) noexcept {
  const int64_t block_stride = (a.x.cols + kWeightGroup - 1) / kWeightGroup * kBlockBytes;
  const int8_t* weights = a.weight.packed + output / kWeightBlock * block_stride;
  for (int64_t first = 0; first < a.x.cols; first += kPanel) {
    const int64_t count = a.x.cols - first < kPanel ? a.x.cols - first : kPanel;
    for (int64_t r = 0; r < kRows; ++r) unpack(row + (r < rows ? r : rows - 1), first, count, panel.rows[r]);
    multiply(panel, (count + kWeightGroup - 1) / kWeightGroup, weights + first * kWeightBlock, tile);
  }
}

// Outputs [output, output + 16) of `rows` rows. The panel holds rows of bytes already where all inputs fit it at once.
template <bool kWords>
DEGREEQUANT_INLINE void compute_tile(const Linear& a, Requantizer& rule, Panel& panel, int64_t row, int64_t rows, int64_t output) noexcept {
  Tile tile = {};
  if constexpr (kWords) {
    const auto plane = [&](bool upper) DEGREEQUANT_INLINE_LAMBDA {
      const auto unpack = [&](int64_t r, int64_t first, int64_t count, int16_t* target)
                              DEGREEQUANT_INLINE_LAMBDA { unpack_words(a, r, first, count, upper, target); };
      multiply_rows(a, panel, row, rows, output, unpack, tile);
    };
    plane(true);
    if (a.weight.wide) {
      const Tile upper = tile;
      tile = {};
      plane(false);
      return store_planes(a, rule, upper, tile, row, rows, output);
    }
    for (auto& sums : tile.acc) {
      for (__m256i& sum : sums) sum = _mm256_slli_epi32(sum, 8);
    }
    plane(false);
  } else {
    const bool is_there = output > 0 && a.x.cols <= kPanel;
    const auto unpack = [&](int64_t r, int64_t first, int64_t count, int16_t* target) DEGREEQUANT_INLINE_LAMBDA {
      if (!is_there) unpack_row(a, r, first, count, target);
    };
    multiply_rows(a, panel, row, rows, output, unpack, tile);
  }
  store_tile(a, rule, tile, row, rows, output);
}

template <bool kWords>
[[gnu::noinline]] void compute_rows(const Linear& a, const Requantize& requantize, int64_t begin, int64_t end) noexcept {
  Requantizer rule(requantize);
  Panel panel;
  for (int64_t row = begin; row < end; row += kRows) {
    const int64_t rows = end - row < kRows ? end - row : kRows;
    for (int64_t output = 0; output < a.weight.out; output += kWeightBlock) compute_tile<kWords>(a, rule, panel, row, rows, output);
  }
}

}  // namespace

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  const bool is_word = x.type == CodeType::i16 || x.type == CodeType::u16;
  if (weight.wide && !(is_word && x.cols <= kMaxPlaneInputs)) return reference::linear(x, zero_point, weight, requantize, out, begin, end);
  const Linear a = {x, weight, out, zero_point};
  if (begin == end || weight.out == 0) return;
  is_word ? compute_rows<true>(a, requantize, begin, end) : compute_rows<false>(a, requantize, begin, end);
}

}  // namespace degreequant::avx2
