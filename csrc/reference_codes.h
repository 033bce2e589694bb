// Single codes of any type, for the plain loops. Not for files with instruction-set flags: it includes the standard library.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace degreequant::reference {

constexpr int64_t kBlock = 64;  // channels whose accumulators are held while a row's edges are walked once

// Calls f(std::integral_constant<CodeType, type>), so that a loop is compiled once for each code type.
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

// Columns are stored from left to right: an even column clears the high nibble, which belongs to the next one; an odd column keeps the low
// nibble.
inline void store_code(CodeType type, uint8_t* row, int64_t col, int32_t code) {
  switch (type) {
    case CodeType::i4:
    case CodeType::u4:
      row[col / 2] = static_cast<uint8_t>(col % 2 == 0 ? code & 15 : (row[col / 2] & 15) | (code & 15) << 4);
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

}  // namespace degreequant::reference
