// What works value by value in float32.
#pragma once

#include "float_math.h"
#include "float_rows.h"

namespace degreequant {

// Calls f(columns, row) for the vectors of each row.
template <typename Lanes, typename F>
DEGREEQUANT_INLINE void for_each_block(int64_t cols, int64_t begin, int64_t end, F f) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    for_vector_blocks<Lanes, 1>(0, cols, [&](auto block, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
      f(ColumnBlock<Lanes, decltype(block)>{first, count}, row);
    });
  }
}

template <typename Lanes>
void float_rescale(Floats x, const FloatFinish& finish, MutableFloats out, int64_t offset, int64_t begin, int64_t end) noexcept {
  for_each_block<Lanes>(x.cols, begin, end, [&](auto columns, int64_t row) DEGREEQUANT_INLINE_LAMBDA {
    const float* source = x.data + row * x.cols;
    float* target = out.data + row * out.cols + offset;
    for (int v = 0; v < columns.kVectors; ++v) columns.store(target, v, columns.finish(finish, v, columns.load(source, v)));
  });
}

template <typename Lanes>
void float_add(Floats a, Floats b, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept {
  for_each_block<Lanes>(out.cols, begin, end, [&](auto columns, int64_t row) DEGREEQUANT_INLINE_LAMBDA {
    const int64_t at = row * out.cols;
    for (int v = 0; v < columns.kVectors; ++v) {
      const auto sum = Lanes::add(columns.load(a.data + at, v), columns.load(b.data + at, v));
      columns.store(out.data + at, v, columns.finish(finish, v, sum));
    }
  });
}

template <typename Lanes>
void float_activate(Floats x, Activation activation, float a, float b, MutableFloats out, int64_t begin, int64_t end) noexcept {
  FloatMath<Lanes>::with_activation(activation, a, b, [&](auto function) DEGREEQUANT_INLINE_LAMBDA {
    for_each_block<Lanes>(out.cols, begin, end, [&](auto columns, int64_t row) DEGREEQUANT_INLINE_LAMBDA {
      const int64_t at = row * out.cols;
      for (int v = 0; v < columns.kVectors; ++v) columns.store(out.data + at, v, function(columns.load(x.data + at, v)));
    });
  });
}

// Codes of columns [first, first + count).
template <CodeType kType>
DEGREEQUANT_INLINE void load_codes(const uint8_t* row, int64_t first, int64_t count, int32_t* codes) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t col = first + i;
    switch (kType) {
      case CodeType::i4:
        codes[i] = (((row[col / 2] >> (col % 2 * 4)) & 15) ^ 8) - 8;
        break;
      case CodeType::u4:
        codes[i] = (row[col / 2] >> (col % 2 * 4)) & 15;
        break;
      case CodeType::i8:
        codes[i] = static_cast<int8_t>(row[col]);
        break;
      case CodeType::u8:
        codes[i] = row[col];
        break;
      case CodeType::i16:
        codes[i] = reinterpret_cast<const int16_t*>(row)[col];
        break;
      case CodeType::u16:
        codes[i] = reinterpret_cast<const uint16_t*>(row)[col];
        break;
    }
  }
}

template <typename Lanes, CodeType kType>
DEGREEQUANT_INLINE void dequantize_type(Codes x, int32_t zero_point, float scale, MutableFloats out, int64_t begin, int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t first = 0; first < x.cols; first += Lanes::kLanes) {
      const int64_t count = x.cols - first < Lanes::kLanes ? x.cols - first : Lanes::kLanes;
      alignas(64) int32_t codes[Lanes::kLanes] = {};
      load_codes<kType>(x.row(row), first, count, codes);
      for (int32_t& code : codes) code -= zero_point;
      Lanes::store_some(out.data + row * out.cols + first, count, Lanes::multiply(Lanes::from_integers(codes), Lanes::set(scale)));
    }
  }
}

template <typename Lanes>
void float_dequantize(Codes x, int32_t zero_point, float scale, MutableFloats out, int64_t begin, int64_t end) noexcept {
  switch (x.type) {
    case CodeType::i4:
      return dequantize_type<Lanes, CodeType::i4>(x, zero_point, scale, out, begin, end);
    case CodeType::u4:
      return dequantize_type<Lanes, CodeType::u4>(x, zero_point, scale, out, begin, end);
    case CodeType::i8:
      return dequantize_type<Lanes, CodeType::i8>(x, zero_point, scale, out, begin, end);
    case CodeType::u8:
      return dequantize_type<Lanes, CodeType::u8>(x, zero_point, scale, out, begin, end);
    case CodeType::i16:
      return dequantize_type<Lanes, CodeType::i16>(x, zero_point, scale, out, begin, end);
    case CodeType::u16:
      return dequantize_type<Lanes, CodeType::u16>(x, zero_point, scale, out, begin, end);
  }
}

}  // namespace degreequant
