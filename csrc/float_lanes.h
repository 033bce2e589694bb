// What the float kernels call their vectors, in portable code: eight lanes, which compilers map to what there is.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "requantize.h"

namespace degreequant::reference {

struct FloatLanes {
  static constexpr int64_t kLanes = 8;
  static constexpr int kGemmRows = 4;    // accumulators of the matrix product: kGemmRows x 2 vectors
  static constexpr int kMaxVectors = 2;  // of a block of columns whose accumulators stay in registers

  struct Vector {
    float lane[kLanes];
  };
  struct Index {
    int32_t lane[kLanes];
  };

  template <typename F>
  DEGREEQUANT_INLINE static Vector each(F f) noexcept {
    Vector result;
    for (int64_t i = 0; i < kLanes; ++i) result.lane[i] = f(i);
    return result;
  }

  DEGREEQUANT_INLINE static Vector set(float value) noexcept {
    return each([&](int64_t) { return value; });
  }
  DEGREEQUANT_INLINE static Vector load(const float* p) noexcept {
    return each([&](int64_t i) { return p[i]; });
  }
  // The first `count` lanes; the others are 0.
  DEGREEQUANT_INLINE static Vector load_some(const float* p, int64_t count) noexcept {
    return each([&](int64_t i) { return i < count ? p[i] : 0.0F; });
  }
  DEGREEQUANT_INLINE static void store(float* p, Vector v) noexcept {
    for (int64_t i = 0; i < kLanes; ++i) p[i] = v.lane[i];
  }
  DEGREEQUANT_INLINE static void store_some(float* p, int64_t count, Vector v) noexcept {
    for (int64_t i = 0; i < kLanes && i < count; ++i) p[i] = v.lane[i];
  }
  DEGREEQUANT_INLINE static Vector from_integers(const int32_t* p) noexcept {
    return each([&](int64_t i) { return static_cast<float>(p[i]); });
  }

  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] + b.lane[i]; });
  }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] - b.lane[i]; });
  }
  DEGREEQUANT_INLINE static Vector multiply(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] * b.lane[i]; });
  }
  DEGREEQUANT_INLINE static Vector divide(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] / b.lane[i]; });
  }
  // a * b + c, rounded once.
  DEGREEQUANT_INLINE static Vector fma(Vector a, Vector b, Vector c) noexcept {
    return each([&](int64_t i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  // a > b ? a : b
  DEGREEQUANT_INLINE static Vector maximum(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  // a < b ? a : b
  DEGREEQUANT_INLINE static Vector minimum(Vector a, Vector b) noexcept {
    return each([&](int64_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  // a < b ? yes : no
  DEGREEQUANT_INLINE static Vector where_less(Vector a, Vector b, Vector yes, Vector no) noexcept {
    return each([&](int64_t i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
  }
  // p * 2^n, where the low bits of `n`'s representation are the integer n.
  DEGREEQUANT_INLINE static Vector times_power(Vector p, Vector n) noexcept {
    return each(
        [&](int64_t i) { return std::bit_cast<float>(std::bit_cast<uint32_t>(p.lane[i]) + (std::bit_cast<uint32_t>(n.lane[i]) << 23)); });
  }
  // Halves onto halves, until one is left.
  DEGREEQUANT_INLINE static float sum(Vector v) noexcept {
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) v.lane[i] += v.lane[i + half];
    }
    return v.lane[0];
  }
  DEGREEQUANT_INLINE static Index load_index(const int32_t* p, int32_t less) noexcept {
    Index result;
    for (int64_t i = 0; i < kLanes; ++i) result.lane[i] = p[i] - less;
    return result;
  }
  // values[index], of kLanes values.
  DEGREEQUANT_INLINE static Vector pick(const float* values, Index index) noexcept {
    return each([&](int64_t i) { return values[index.lane[i]]; });
  }
};

}  // namespace degreequant::reference
