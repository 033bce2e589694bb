// The largest code among a row's sources, as plain loops over whole stored elements: bytes and nibbles keep their places, so compilers
// vectorise the loop.
#include <algorithm>

#include "kernels_reference.h"
#include "reference_codes.h"

namespace degreequant::reference {
namespace {

// How the codes of a type lie in memory, and the larger of two stored elements, code by code.
template <CodeType type>
struct Stored {
  using Element = std::conditional_t<type == CodeType::i8, int8_t, uint8_t>;
  static Element larger(Element a, Element b) { return std::max(a, b); }
};

template <>
struct Stored<CodeType::i16> {
  using Element = int16_t;
  static Element larger(Element a, Element b) { return std::max(a, b); }
};

template <>
struct Stored<CodeType::u16> {
  using Element = uint16_t;
  static Element larger(Element a, Element b) { return std::max(a, b); }
};

template <>
struct Stored<CodeType::u4> {
  using Element = uint8_t;
  static Element larger(Element a, Element b) {
    const Element low = std::max<Element>(a & 0x0f, b & 0x0f);
    const Element high = std::max<Element>(a & 0xf0, b & 0xf0);
    return low | high;
  }
};

// With their sign bits flipped, signed codes are ordered as unsigned ones are.
template <>
struct Stored<CodeType::i4> {
  using Element = uint8_t;
  static Element larger(Element a, Element b) { return Stored<CodeType::u4>::larger(a ^ 0x88, b ^ 0x88) ^ 0x88; }
};

template <CodeType type>
void maximum_row(Codes x, const Csr& csr, int64_t row, uint8_t* target) {
  using Element = typename Stored<type>::Element;
  const int64_t bytes = row_bytes(type, x.cols);
  const int64_t count = bytes / static_cast<int64_t>(sizeof(Element));
  Element* __restrict most = reinterpret_cast<Element*>(target);
  const int64_t begin = csr.indptr[row];
  std::memcpy(most, x.row(csr.indices[begin]), static_cast<size_t>(bytes));
  for (int64_t e = begin + 1; e < csr.indptr[row + 1]; ++e) {
    const Element* codes = reinterpret_cast<const Element*>(x.row(csr.indices[e]));
    for (int64_t i = 0; i < count; ++i) most[i] = Stored<type>::larger(most[i], codes[i]);
  }
}

}  // namespace

void maximum(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(x.type, [&](auto type) {
    for (int64_t row = begin; row < end && x.cols > 0; ++row) {
      uint8_t* target = out.row(row);
      if (csr.indptr[row] < csr.indptr[row + 1]) {
        maximum_row<type()>(x, csr, row, target);
      } else {
        for (int64_t col = 0; col < x.cols; ++col) store_code(type(), target, col, empty);
      }
    }
  });
}

}  // namespace degreequant::reference
