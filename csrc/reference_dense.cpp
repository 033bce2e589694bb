// The operations that need no graph, as plain loops. These files define correctness: every vectorised kernel must equal them bit for bit.
#include <algorithm>
#include <cmath>

#include "kernels_reference.h"
#include "reference_codes.h"

namespace degreequant::reference {

bool quantize(const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t begin, int64_t end) noexcept {
  // Clamped before it becomes an integer: a huge product fits none.
  const float low = static_cast<float>(clamp.q_min - clamp.zero_point);
  const float high = static_cast<float>(clamp.q_max - clamp.zero_point);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t col = 0; col < out.cols; ++col) {
      const float value = x[row * out.cols + col];
      if (!std::isfinite(value)) return false;
      const float steps = std::clamp(std::round(value * inverse_scale), low, high);
      store_code(out.type, out.row(row), col, clamp.zero_point + static_cast<int32_t>(steps));
    }
  }
  return true;
}

void linear(Codes x, int32_t zero_point, const Weight& weight, const Requantize& requantize, MutableCodes out, int64_t begin,
            int64_t end) noexcept {
  with_type(x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* codes = x.row(row);
      uint8_t* target = out.row(row);
      for (int64_t o = 0; o < weight.out; ++o) {
        int64_t acc = 0;
        for (int64_t k = 0; k < weight.in; ++k) {
          acc += int64_t{load_code<type()>(codes, k) - zero_point} * weight.codes[o * weight.in + k];
        }
        store_code(out.type, target, o, requantize_any(acc, requantize.multiplier(row, o), requantize.addend_at(o), requantize.clamp));
      }
    }
  });
}

void add(const Addition& sum, MutableCodes out, int64_t begin, int64_t end) noexcept {
  const Addition::Term& a = sum.a;
  const Addition::Term& b = sum.b;
  with_type(a.x.type, [&](auto a_type) {
    with_type(b.x.type, [&](auto b_type) {
      for (int64_t row = begin; row < end; ++row) {
        const uint8_t* a_codes = a.x.row(row);
        const uint8_t* b_codes = b.x.row(row);
        uint8_t* target = out.row(row);
        for (int64_t col = 0; col < out.cols; ++col) {
          const int64_t a_term = int64_t{load_code<a_type()>(a_codes, col) - a.zero_point} * a.mantissa;
          const int64_t b_term = int64_t{load_code<b_type()>(b_codes, col) - b.zero_point} * b.mantissa;
          const int64_t bias = int64_t{sum.addend_at(col)} * (int64_t{1} << (sum.shift - addend_bits(sum.clamp)));
          store_code(out.type, target, col, clamp_code(round_shift(a_term + b_term + bias, sum.shift), sum.clamp));
        }
      }
    });
  });
}

void rescale(Codes x, int32_t zero_point, const Requantize& rule, MutableCodes out, int64_t offset, int64_t begin, int64_t end) noexcept {
  with_type(x.type, [&](auto type) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* codes = x.row(row);
      uint8_t* target = out.row(row);
      for (int64_t col = 0; col < x.cols; ++col) {
        const int32_t acc = load_code<type()>(codes, col) - zero_point;
        store_code(out.type, target, offset + col, requantize(acc, rule.multiplier(row, col), rule.addend_at(col), rule.clamp));
      }
    }
  });
}

void lookup(Codes x, const int32_t* table, MutableCodes out, int64_t begin, int64_t end) noexcept {
  with_type(x.type, [&](auto type) {
    constexpr int32_t kLow = code_range(type()).low;
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* codes = x.row(row);
      uint8_t* target = out.row(row);
      for (int64_t col = 0; col < x.cols; ++col) store_code(out.type, target, col, table[load_code<type()>(codes, col) - kLow]);
    }
  });
}

}  // namespace degreequant::reference
