// NEON as the sums over edges use it: rows of packed codes widened to 16 bits, weighted with smlal or counted, and the sums in the order of
// the columns, four int32 to a vector.
#pragma once

#include "blocks.h"
#include "requantize_neon.h"

namespace degreequant::neon {

// Sixteen codes as 16-bit words.
struct Words {
  int16x8_t low;
  int16x8_t high;
};

template <bool kSigned>
DEGREEQUANT_INLINE Words widen(uint8x16_t bytes) noexcept {
  if (kSigned) {
    const int8x16_t codes = vreinterpretq_s8_u8(bytes);
    return {vmovl_s8(vget_low_s8(codes)), vmovl_high_s8(codes)};
  }
  return {vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes))};
}

// A plane is sixteen codes of a half tile: with bytes all of them, with nibbles the even or the odd columns.
template <bool kSignedCodes>
struct Bytes {
  static constexpr bool kSigned = kSignedCodes;
  static constexpr int kMaxHalves = 4;
  static constexpr int kPlanes = 1;
  static constexpr int64_t kCapacity = 256;  // codes that a 16-bit lane can sum

  DEGREEQUANT_INLINE static uint8x16_t plane(uint8x16_t bytes, int) noexcept { return bytes; }
  DEGREEQUANT_INLINE static void order(int32x4_t[4]) noexcept {}
};

template <bool kSignedCodes>
struct Nibbles {
  static constexpr bool kSigned = kSignedCodes;
  static constexpr int kMaxHalves = 2;
  static constexpr int kPlanes = 2;
  static constexpr int64_t kCapacity = 256;

  DEGREEQUANT_INLINE static uint8x16_t plane(uint8x16_t bytes, int p) noexcept {
    const uint8x16_t upper = p == 0 ? vshlq_n_u8(bytes, 4) : bytes;
    return kSigned ? vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(upper), 4)) : vshrq_n_u8(upper, 4);
  }
  DEGREEQUANT_INLINE static void order(int32x4_t acc[8]) noexcept {
    const int32x4_t even[4] = {acc[0], acc[1], acc[2], acc[3]};
    const int32x4_t odd[4] = {acc[4], acc[5], acc[6], acc[7]};
    for (int i = 0; i < 4; ++i) {
      acc[2 * i] = vzip1q_s32(even[i], odd[i]);
      acc[2 * i + 1] = vzip2q_s32(even[i], odd[i]);
    }
  }
};

struct Simd {
  static constexpr int64_t kLanes = neon::kLanes;
  static constexpr bool kJoinsRest = false;
  using Vector = int32x4_t;
  using Requantizer = neon::Requantizer;
  template <bool kSigned>
  using Bytes = neon::Bytes<kSigned>;
  template <bool kSigned>
  using Nibbles = neon::Nibbles<kSigned>;

  DEGREEQUANT_INLINE static Vector set(int32_t value) noexcept { return vdupq_n_s32(value); }
  DEGREEQUANT_INLINE static Vector load(const int32_t* p) noexcept { return vld1q_s32(p); }
  DEGREEQUANT_INLINE static void store(int32_t* p, Vector v) noexcept { vst1q_s32(p, v); }
  DEGREEQUANT_INLINE static Vector add(Vector a, Vector b) noexcept { return vaddq_s32(a, b); }
  DEGREEQUANT_INLINE static Vector subtract(Vector a, Vector b) noexcept { return vsubq_s32(a, b); }
  DEGREEQUANT_INLINE static Vector shift_left(Vector v, int32_t places) noexcept { return vshlq_s32(v, vdupq_n_s32(places)); }
  DEGREEQUANT_INLINE static void store_codes(CodeType type, uint8_t* row, int64_t col, int64_t count, Vector codes) noexcept {
    store4(type, row, col, count, codes);
  }

  // The sums of a block's columns, vector after vector.
  template <typename Loader, typename Shape>
  struct Sums {
    static constexpr int kPlanes = Shape::kHalves * Loader::kPlanes;
    static constexpr int kVectors = 4 * kPlanes;
    Vector acc[kVectors] = {};

    DEGREEQUANT_INLINE void order() noexcept {
      unrolled<Shape::kHalves>([&](auto h) DEGREEQUANT_INLINE_LAMBDA { Loader::order(acc + 4 * h * Loader::kPlanes); });
    }
  };

  // Sums of codes weighted by 16-bit coefficients. They may wrap around on their way; what finish() leaves must fit, and has not.
  template <typename Loader, typename Shape>
  class Weighted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Weighted(int64_t bytes, const uint8_t* end) noexcept : bytes_(bytes), end_(end) {}

    // Adds two rows, with their coefficients in the halves of each lane of `factors`.
    DEGREEQUANT_INLINE void add(const uint8_t* a, const uint8_t* b, Vector factors) noexcept {
      const int16x8_t coefficients = vreinterpretq_s16_s32(factors);
      add_row(a, vget_lane_s16(vget_low_s16(coefficients), 0));
      add_row(b, vget_lane_s16(vget_low_s16(coefficients), 1));
    }

    DEGREEQUANT_INLINE void finish() noexcept { this->order(); }

   private:
    DEGREEQUANT_INLINE void add_row(const uint8_t* p, int16_t coefficient) noexcept {
      const BlockRow<Shape> row(p, bytes_, end_);
      unrolled<Shape::kHalves * Loader::kPlanes>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
        const uint8x16_t bytes = vld1q_u8(row.half(i / Loader::kPlanes));
        const Words codes = widen<Loader::kSigned>(Loader::plane(bytes, i % Loader::kPlanes));
        Vector* acc = this->acc + 4 * i;
        acc[0] = vmlal_n_s16(acc[0], vget_low_s16(codes.low), coefficient);
        acc[1] = vmlal_high_n_s16(acc[1], codes.low, coefficient);
        acc[2] = vmlal_n_s16(acc[2], vget_low_s16(codes.high), coefficient);
        acc[3] = vmlal_high_n_s16(acc[3], codes.high, coefficient);
      });
    }

    int64_t bytes_;
    const uint8_t* end_;  // of the matrix
  };

  // Sums of codes, each counted once.
  template <typename Loader, typename Shape>
  class Counted : public Sums<Loader, Shape> {
   public:
    DEGREEQUANT_INLINE Counted(int64_t bytes, const uint8_t* end) noexcept : bytes_(bytes), end_(end) {}

    // Adds a row; after Loader::kCapacity of them flush() is due.
    DEGREEQUANT_INLINE void add(const uint8_t* p) noexcept {
      const BlockRow<Shape> row(p, bytes_, end_);
      unrolled<Shape::kHalves * Loader::kPlanes>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
        const uint8x16_t bytes = vld1q_u8(row.half(i / Loader::kPlanes));
        const Words codes = widen<Loader::kSigned>(Loader::plane(bytes, i % Loader::kPlanes));
        counts_[2 * i] = vaddq_s16(counts_[2 * i], codes.low);
        counts_[2 * i + 1] = vaddq_s16(counts_[2 * i + 1], codes.high);
      });
    }

    DEGREEQUANT_INLINE void flush() noexcept {
      unrolled<kCounts>([&](auto i) DEGREEQUANT_INLINE_LAMBDA {
        Vector* acc = this->acc + 2 * i;
        if (Loader::kSigned) {
          acc[0] = vaddw_s16(acc[0], vget_low_s16(counts_[i]));
          acc[1] = vaddw_high_s16(acc[1], counts_[i]);
        } else {
          const uint16x8_t count = vreinterpretq_u16_s16(counts_[i]);
          acc[0] = vreinterpretq_s32_u32(vaddw_u16(vreinterpretq_u32_s32(acc[0]), vget_low_u16(count)));
          acc[1] = vreinterpretq_s32_u32(vaddw_high_u16(vreinterpretq_u32_s32(acc[1]), count));
        }
        counts_[i] = vdupq_n_s16(0);
      });
    }

    DEGREEQUANT_INLINE void finish(int64_t) noexcept { this->order(); }

   private:
    static constexpr int kCounts = 2 * Shape::kHalves * Loader::kPlanes;
    int64_t bytes_;
    const uint8_t* end_;
    int16x8_t counts_[kCounts] = {};
  };
};

}  // namespace degreequant::neon
