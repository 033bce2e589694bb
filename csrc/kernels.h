// The contract of every kernel: plain views and one table of function pointers per instruction set.
//
// A kernel computes the rows [begin, end) of its output and nothing else, so callers may split rows over threads in any way. It trusts its
// arguments: the operations_*.cpp have checked every shape, index and range. The meaning of each operation, with the bound that keeps its
// accumulator from overflowing, is docs/numerics.md; the reference_*.cpp are the same in plain loops, and every other table must equal it
// bit for bit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "requantize.h"

namespace degreequant {

enum class CodeType : uint8_t { i4, u4, i8, u8, i16, u16 };

DEGREEQUANT_INLINE constexpr int64_t row_bytes(CodeType type, int64_t cols) noexcept {
  switch (type) {
    case CodeType::i4:
    case CodeType::u4:
      return (cols + 1) / 2;
    case CodeType::i8:
    case CodeType::u8:
      return cols;
    default:
      return 2 * cols;
  }
}

DEGREEQUANT_INLINE constexpr bool is_byte(CodeType type) noexcept { return type == CodeType::i8 || type == CodeType::u8; }

// Row-major codes; 4-bit codes lie two to a byte, even column in the low nibble, each row on its own bytes.
template <typename Byte>
struct CodeView {
  Byte* data;
  int64_t rows;
  int64_t cols;
  CodeType type;
  int64_t stride;  // bytes from a row to the next, at least row_bytes(type, cols); what lies between rows is neither read nor written

  DEGREEQUANT_INLINE constexpr Byte* row(int64_t i) const noexcept { return data + i * stride; }
  // Behind the last byte of the last row.
  DEGREEQUANT_INLINE constexpr Byte* end() const noexcept { return rows == 0 ? data : row(rows - 1) + row_bytes(type, cols); }
  // Whether the codes of a row follow those of the row before without a gap.
  DEGREEQUANT_INLINE constexpr bool is_gapless() const noexcept {
    return stride == row_bytes(type, cols) && (row_bytes(type, 2) > 1 || cols % 2 == 0);
  }
};
using Codes = CodeView<const uint8_t>;
using MutableCodes = CodeView<uint8_t>;

struct CodeRange {
  int32_t low;
  int32_t high;
};

// What the storage of a code type can hold, whatever grid the codes lie on.
DEGREEQUANT_INLINE constexpr CodeRange code_range(CodeType type) noexcept {
  switch (type) {
    case CodeType::i4:
      return {-8, 7};
    case CodeType::u4:
      return {0, 15};
    case CodeType::i8:
      return {-128, 127};
    case CodeType::u8:
      return {0, 255};
    case CodeType::i16:
      return {-32768, 32767};
    default:
      return {0, 65535};
  }
}

// The largest |code - zero_point| the storage can hold: the max|x - zero_point| of every overflow bound.
DEGREEQUANT_INLINE constexpr int64_t max_distance(CodeType type, int32_t zero_point) noexcept {
  const CodeRange range = code_range(type);
  return range.high - zero_point > zero_point - range.low ? range.high - zero_point : zero_point - range.low;
}

struct Multipliers {
  const int32_t* mantissa;
  const int32_t* shift;
  int64_t count;  // 0: absent (a factor of one); 1: the same for all

  DEGREEQUANT_INLINE constexpr Multiplier at(int64_t i) const noexcept {
    const int64_t k = count == 1 ? 0 : i;
    return {mantissa[k], shift[k]};
  }
};

constexpr int32_t kNormal = 1 << 30;  // the least magnitude of a mantissa that has all its bits

// What the float32 estimates of codes take (estimate.h), up to a whole vector.
struct EstimateRule {
  const float* scale;  // of the bounded multipliers, where there is one for each channel; else null
  const float* bias;   // of the addends, or one vector without, shifted to where estimates belong
  int32_t margin;      // above the error of an estimate that lies within the clamp
  bool possible;       // whether estimates are near enough
  bool combines;       // whether they still are where a row has a normal multiplier of its own beside those of the channels
};

// What the vectorised kernels need of a rule's channels, worked out once (rule.h): 64-bit lanes, zeros up to a whole vector.
struct ChannelRule {
  const int64_t* bias;      // addend and the half of a step that rounds, in the unit of an addend; null without addends
  const int64_t* mantissa;  // of the bounded multipliers, where there is one for each channel; else null, as the next two
  const int64_t* shift;
  const int64_t* rounding;  // bias * 2^(shift - least)
  CodeRange shifts;         // least and most shift, not bounded
  EstimateRule estimate;
};

// How an accumulator becomes a code. With `row` present, its multiplier and the channel's are combined before the one rounding.
struct Requantize {
  Multipliers channel;    // count 1 or cols
  Multipliers row;        // count 0 or rows
  const int32_t* addend;  // per channel, or null
  Clamp clamp;
  ShiftLimits limits;  // of the clamp and the addends
  ChannelRule prepared;

  DEGREEQUANT_INLINE constexpr Multiplier multiplier(int64_t r, int64_t c) const noexcept {
    return bounded(row.count == 0 ? channel.at(c) : combine(row.at(r), channel.at(c)), limits);
  }
  DEGREEQUANT_INLINE constexpr int32_t addend_at(int64_t c) const noexcept { return addend == nullptr ? 0 : addend[c]; }
};

// Entries of Csr::indices after the last edge, each a source: what asks for rows ahead of time may read them.
constexpr int64_t kIndexPadding = 64;

// Edges by destination: the sources of row i are indices[indptr[i] .. indptr[i+1]), all in [0, sources).
struct Csr {
  const int64_t* indptr;
  const int32_t* indices;
  int64_t rows;
  int64_t sources;
};

// acc[i,c] = 2^edge_shift * sum over the edges e of row i of coefficient[e] * (x[indices[e], c] - zero_point)
//            + self_coefficient * (x[i, c] - zero_point)
struct NeighbourSum {
  Codes x;  // csr.sources rows
  Csr csr;
  int32_t zero_point;
  const int16_t* coefficient;  // of each edge; null: all are 1
  int32_t self_coefficient;    // below 2^15 in magnitude; other than 0 only without coefficients and with as many rows as sources
  int32_t edge_shift;          // 0 .. 12, likewise

  DEGREEQUANT_INLINE constexpr bool has_self_term() const noexcept { return self_coefficient != 0 || edge_shift != 0; }
};

// Softmax over the edges of a row, with weights read from a table (docs/numerics.md, "attend").
struct Attention {
  Codes x;               // [csr.sources, heads * channels], zero point 0
  Csr csr;               // as many rows as sources
  Codes logits;          // i8 [csr.sources, 2 * heads]: each head's half of the source, then each head's half of the target
  Codes edge_logits;     // i8 [edges, heads]; data null without
  int64_t heads;         // 1 .. kMaxHeads, and a divisor of x.cols
  int32_t slope;         // of the LeakyReLU, in 2^-15; 0 .. 2^15
  const int16_t* table;  // weight of each distance from the row's largest logit, none negative
  bool average;          // the mean of the heads instead of all of them side by side

  DEGREEQUANT_INLINE constexpr int64_t channels() const noexcept { return x.cols / heads; }
};

constexpr int64_t kMaxHeads = 65535;  // the sum of as many shares of at most 2^40 is below 2^56

// acc[i,c] = (a[i,c] - zero point of a) * (b[i, c / repeat] - zero point of b); below 2^33 in magnitude.
struct Product {
  Codes a;
  Codes b;  // of a.cols / repeat columns
  int32_t a_zero;
  int32_t b_zero;
  int64_t repeat;
};

// The shares of the edges of a row: w = table[largest logit of the row - logit], over the sum of these. Row i of the csr holds the
// positions of its edges among the rows of `logits` and of the output.
struct EdgeSoftmax {
  Codes logits;  // of 8 bits
  Csr csr;
  const int16_t* table;  // 256 weights, none negative, the first positive
};

// clamp(zero_point + round((sum of (x - zero_point of x) * mantissa + addend * 2^(shift - addend_bits)) / 2^shift))
struct Addition {
  struct Term {
    Codes x;
    int32_t zero_point;
    int32_t mantissa;
  };
  Term a;
  Term b;                 // of the shape of a
  int32_t shift;          // within the limits of the clamp and the addends
  const int32_t* addend;  // per channel, or null
  Clamp clamp;

  DEGREEQUANT_INLINE constexpr int32_t addend_at(int64_t c) const noexcept { return addend == nullptr ? 0 : addend[c]; }
};

// Outputs in a block of packed weights, and consecutive inputs of one output that lie together in it.
constexpr int64_t kWeightBlock = 16;
constexpr int64_t kWeightGroup = 4;

// Weight codes as [out, in] bytes, and the layout a vectorised kernel reads (null for the reference).
struct Weight {
  const int8_t* codes;
  int64_t out;
  int64_t in;
  const int8_t* packed;        // [blocks of 16 outputs][groups of 4 inputs][16 outputs][4 inputs], zero padded, 64-byte aligned
  const int32_t* column_sums;  // sum over `in` of each output's codes, zero padded to a whole block; in < 2^24, so it fits
  bool wide;                   // in * max|x - zero_point| * max|w| >= 2^31: accumulate in 64 bits
};

struct FloatKernels;  // float_kernels.h

struct Kernels {
  const char* name;
  bool (*supported)() noexcept;
  const FloatKernels* floats;

  // code = clamp(zero_point + roundf(x * inverse_scale)). Returns whether all of the rows are finite; their codes are undefined if not.
  bool (*quantize)(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept;

  // acc[i,o] = sum_k (x[i,k] - zero_point) * w[o,k]
  void (*linear)(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
                 int64_t end) noexcept;

  // A row with sum |coefficient| * max|x - zero_point| < 2^31 may sum its edges in int32; any other needs int64. With the self term the
  // accumulator is below 2^60.
  void (*aggregate)(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;

  // The largest code of each channel among the sources of a row; `empty` in a row without. Both matrices are of one type.
  void (*maximum)(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept;

  // A row and head with den * max|x| < 2^31 may sum in int32; any other needs int64.
  void (*attend)(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;

  // The edges of the rows [begin, end) of the csr.
  void (*edge_softmax)(const EdgeSoftmax& softmax, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;

  void (*multiply)(const Product& product, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept;

  void (*add)(const Addition& addition, MutableCodes out, int64_t begin, int64_t end) noexcept;

  // acc[i,c] = x[i,c] - zero_point, stored in column offset + c. The columns left of `offset` stay as they are; those to the right of the
  // last one written are not defined.
  void (*rescale)(Codes x, int32_t zero_point, const Requantize& requantize, MutableCodes out, int64_t offset, int64_t begin,
                  int64_t end) noexcept;

  // table[code - low], with low the smallest code of x's storage; the table has an entry for every code of it.
  void (*lookup)(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept;
};

// The type of the function that an entry of the table points to.
template <typename Pointer>
using Signature = std::remove_pointer_t<Pointer>;

}  // namespace degreequant
