// Every operation as plain loops. This file defines correctness: it always accumulates in 64 bits, so no bound is needed here, and every
// vectorised kernel must equal it bit for bit. It also serves them as the fallback for 16-bit codes and for rows too long for 32 bits.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace degreequant {
namespace {

constexpr int64_t kBlock = 64;  // channels whose accumulators are held while a row's edges are walked once

// Calls f(std::integral_constant<CodeType, type>): the loops below are compiled once for each code type.
template <typename F>
void with_type(CodeType type, F f) {
  switch (type) {
    case CodeType::i4:
      return f(std::integral_constant<CodeType, CodeType::i4>{});
    case CodeType::u4:
      return f(std::integral_constant<CodeType, CodeType::u4>{});
    case CodeType::i8:
      return f(std::integral_constant<CodeType, CodeType::i8>{});
    case CodeType::u8:
      return f(std::integral_constant<CodeType, CodeType::u8>{});
    case CodeType::i16:
      return f(std::integral_constant<CodeType, CodeType::i16>{});
    case CodeType::u16:
      return f(std::integral_constant<CodeType, CodeType::u16>{});
  }
}

template <CodeType type>
int32_t load_code(const uint8_t* row, int64_t col) {
  if constexpr (type == CodeType::i4 || type == CodeType::u4) {
    const int32_t nibble = (row[col / 2] >> (4 * (col % 2))) & 15;
    return type == CodeType::i4 && nibble >= 8 ? nibble - 16 : nibble;
  } else if constexpr (type == CodeType::i8) {
    return static_cast<int8_t>(row[col]);
  } else if constexpr (type == CodeType::u8) {
    return row[col];
  } else {
    std::conditional_t<type == CodeType::i16, int16_t, uint16_t> code;
    std::memcpy(&code, row + 2 * col, sizeof code);
    return code;
  }
}

// Columns are stored from left to right: an even column clears the high nibble that belongs to the next one.
void store_code(CodeType type, uint8_t* row, int64_t col, int32_t code) {
  switch (type) {
    case CodeType::i4:
    case CodeType::u4:
      row[col / 2] = static_cast<uint8_t>(col % 2 == 0 ? code & 15 : row[col / 2] | (code & 15) << 4);
      return;
    case CodeType::i8:
    case CodeType::u8:
      row[col] = static_cast<uint8_t>(code);
      return;
    case CodeType::i16:
    case CodeType::u16: {
      const uint16_t bits = static_cast<uint16_t>(code);
      std::memcpy(row + 2 * col, &bits, sizeof bits);
    }
  }
}

int32_t requantize_any(int64_t acc, Multiplier m, int32_t addend, Clamp clamp) {
  const bool narrow = acc >= INT32_MIN && acc <= INT32_MAX;
  return narrow ? requantize(static_cast<int32_t>(acc), m, addend, clamp) : requantize_wide(acc, m, addend, clamp);
}

bool supported() noexcept { return true; }

void quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  // Clamped before it becomes an integer: a huge product fits none.
  const float low = static_cast<float>(clamp.q_min - clamp.zero_point);
  const float high = static_cast<float>(clamp.q_max - clamp.zero_point);
  const int64_t stride = row_bytes(out.type, out.cols);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < out.cols; ++col) {
      const float steps = std::clamp(std::round(x[row * out.cols + col] * inverse_scale), low, high);
      store_code(out.type, out.data + row * stride, col, clamp.zero_point + static_cast<int32_t>(steps));
    }
  }
}

template <CodeType type>
void linear_rows(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
                 int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const uint8_t* codes = x.data + row * row_bytes(type, x.cols);
    uint8_t* target = out.data + row * row_bytes(out.type, out.cols);
    for (int64_t o = 0; o < weight.out; ++o) {
      int64_t acc = 0;
      for (int64_t k = 0; k < weight.in; ++k) {
        acc += int64_t{load_code<type>(codes, k) - zero_point} * weight.codes[o * weight.in + k];
      }
      store_code(out.type, target, o, requantize_any(acc, requantize.multiplier(row, o), requantize.addend_at(o), requantize.clamp));
    }
  }
}

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  with_type(x.type, [&](auto type) { linear_rows<type()>(x, zero_point, weight, requantize, out, begin, end); });
}

template <CodeType type>
void aggregate_rows(Codes x, const Csr& csr, const int16_t* source_coefficient, const int16_t* edge_coefficient,
                    const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) {
  const int64_t stride = row_bytes(type, x.cols);
  for (int64_t row = begin; row < end; ++row) {
    uint8_t* target = out.data + row * row_bytes(out.type, out.cols);
    for (int64_t first = 0; first < x.cols; first += kBlock) {
      const int64_t width = std::min(kBlock, x.cols - first);
      int64_t acc[kBlock] = {};
      for (int64_t e = csr.indptr[row]; e < csr.indptr[row + 1]; ++e) {
        const int64_t source = csr.indices[e];
        const int32_t coefficient = source_coefficient != nullptr ? source_coefficient[source]
                                    : edge_coefficient != nullptr ? edge_coefficient[e]
                                                                  : 1;
        for (int64_t c = 0; c < width; ++c) acc[c] += int64_t{coefficient} * load_code<type>(x.data + source * stride, first + c);
      }
      for (int64_t c = 0; c < width; ++c) {
        const int64_t col = first + c;
        store_code(out.type, target, col,
                   requantize_any(acc[c], requantize.multiplier(row, col), requantize.addend_at(col), requantize.clamp));
      }
    }
  }
}

void aggregate(Codes x, const Csr& csr, const int16_t* source_coefficient, const int16_t* edge_coefficient, const Requantize& requantize,
               MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(x.type, [&](auto type) { aggregate_rows<type()>(x, csr, source_coefficient, edge_coefficient, requantize, out, begin, end); });
}

}  // namespace

const Kernels reference_kernels = {"reference", supported, quantize, linear, aggregate};

}  // namespace degreequant
