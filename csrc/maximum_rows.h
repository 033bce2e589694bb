// The largest code of each column among a row's sources, vectorised over whole stored elements: bytes and nibbles keep their places. `Simd`
// is what one instruction set calls its vectors (maximum_<isa>.cpp).
#pragma once

#include "kernels_reference.h"

namespace degreequant {

constexpr int64_t kMaximumAhead = 16;  // edges ahead of which a gathered row is asked for
static_assert(kMaximumAhead < kIndexPadding);

// The larger codes of two vectors. Nibbles are compared in their places: with their sign bits flipped, signed ones are ordered as unsigned
// ones are.
template <typename Simd, CodeType type>
DEGREEQUANT_INLINE typename Simd::Vector larger(typename Simd::Vector a, typename Simd::Vector b) noexcept {
  if constexpr (type != CodeType::i4 && type != CodeType::u4) {
    return Simd::template maximum<type>(a, b);
  } else {
    const auto flip = Simd::set(type == CodeType::i4 ? 0x88 : 0), low = Simd::set(0x0f), high = Simd::set(0xf0);
    const auto x = Simd::bit_xor(a, flip), y = Simd::bit_xor(b, flip);
    const auto lower = Simd::template maximum<CodeType::u8>(Simd::bit_and(x, low), Simd::bit_and(y, low));
    const auto upper = Simd::template maximum<CodeType::u8>(Simd::bit_and(x, high), Simd::bit_and(y, high));
    return Simd::bit_xor(Simd::bit_xor(lower, upper), flip);
  }
}

// Bytes [first, first + kVectors * Simd::kBytes) of every row of [begin, end) that has edges; `left` of them belong to the row.
template <typename Simd, CodeType type, int kVectors>
DEGREEQUANT_INLINE void maximum_block(Codes x, const Csr& csr, int64_t row, int64_t first, int64_t left, uint8_t* target) noexcept {
  const uint8_t* end = x.end();
  typename Simd::Vector most[kVectors];
  const auto load = [&](int64_t edge, int v) DEGREEQUANT_INLINE_LAMBDA {
    return Simd::load(x.row(csr.indices[edge]) + first + v * Simd::kBytes, left - v * Simd::kBytes, end);
  };
  const int64_t begin = csr.indptr[row];
  unrolled<kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { most[v] = load(begin, v); });
  for (int64_t e = begin + 1; e < csr.indptr[row + 1]; ++e) {
    const uint8_t* ahead = x.row(csr.indices[e + kMaximumAhead]) + first;
    __builtin_prefetch(ahead);
    __builtin_prefetch(ahead + (left < kVectors * Simd::kBytes ? left : kVectors * Simd::kBytes) - 1);
    unrolled<kVectors>([&](auto v) DEGREEQUANT_INLINE_LAMBDA { most[v] = larger<Simd, type>(most[v], load(e, v)); });
  }
  unrolled<kVectors>([&](auto v)
                         DEGREEQUANT_INLINE_LAMBDA { Simd::store(target + first + v * Simd::kBytes, left - v * Simd::kBytes, most[v]); });
}

template <typename Simd, CodeType type>
DEGREEQUANT_INLINE void maximum_rows(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const int64_t bytes = row_bytes(type, x.cols);
  for (int64_t row = begin; row < end; ++row) {
    if (csr.indptr[row] == csr.indptr[row + 1]) {
      reference::maximum(x, csr, empty, out, row, row + 1);
      continue;
    }
    uint8_t* target = out.row(row);
    int64_t first = 0;
    for (; bytes - first > Simd::kBytes; first += 2 * Simd::kBytes) maximum_block<Simd, type, 2>(x, csr, row, first, bytes - first, target);
    if (first < bytes) maximum_block<Simd, type, 1>(x, csr, row, first, bytes - first, target);
  }
}

template <typename Simd>
DEGREEQUANT_INLINE void maximum_with(Codes x, const Csr& csr, int32_t empty, MutableCodes out, int64_t begin, int64_t end) noexcept {
  switch (x.type) {
    case CodeType::i4:
      return maximum_rows<Simd, CodeType::i4>(x, csr, empty, out, begin, end);
    case CodeType::u4:
      return maximum_rows<Simd, CodeType::u4>(x, csr, empty, out, begin, end);
    case CodeType::i8:
      return maximum_rows<Simd, CodeType::i8>(x, csr, empty, out, begin, end);
    case CodeType::u8:
      return maximum_rows<Simd, CodeType::u8>(x, csr, empty, out, begin, end);
    case CodeType::i16:
      return maximum_rows<Simd, CodeType::i16>(x, csr, empty, out, begin, end);
    default:
      return maximum_rows<Simd, CodeType::u16>(x, csr, empty, out, begin, end);
  }
}

}  // namespace degreequant
