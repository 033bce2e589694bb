// What the machine can do at most: the limits that benchmarks/kernels.py holds the kernels against. Compiled by limits.py for the machine
// that runs it, so nothing of it ships. x86-64 with AVX-512 and VNNI.
#include <immintrin.h>

#include <cstdint>

namespace {

// Edges ahead of which a row is asked for: what was fastest, of 32 and 60. The indices have as many readable entries after the last.
constexpr int64_t ahead_of(int64_t width) { return width == 64 ? 60 : 32; }

// Reads a row whole, into a register that nothing depends on.
template <int64_t kWidth>
void touch(const uint8_t* row, int64_t width, __m512i& sink) {
  if constexpr (kWidth == 16) {
    sink = _mm512_xor_si512(sink, _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row))));
  } else if constexpr (kWidth == 32) {
    sink = _mm512_xor_si512(sink, _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row))));
  } else {
    const int64_t bytes = kWidth == 0 ? width : kWidth;
    int64_t at = 0;
    for (; at + 64 <= bytes; at += 64) sink = _mm512_xor_si512(sink, _mm512_loadu_si512(row + at));
    if (at < bytes) sink = _mm512_xor_si512(sink, _mm512_maskz_loadu_epi8((uint64_t{1} << (bytes - at)) - 1, row + at));
  }
}

struct Rows {
  const uint8_t* data;
  int64_t width;   // bytes that are read of each
  int64_t stride;  // bytes from one to the next
};

template <int64_t kWidth>
int64_t gather(const Rows& rows, const int32_t* indices, const int16_t* coefficient, int64_t begin, int64_t end) {
  const int64_t stride = kWidth == 0 ? rows.stride : kWidth;
  const int64_t width = kWidth == 0 ? rows.width : kWidth;
  const bool aligned = stride % 64 == 0 || 64 % stride == 0;
  __m512i sink = _mm512_setzero_si512();
  int64_t sum = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int64_t ahead = indices[e + ahead_of(kWidth)];
    for (int64_t line = 0; line < width; line += 64) __builtin_prefetch(rows.data + ahead * stride + line);
    if (!aligned) __builtin_prefetch(rows.data + ahead * stride + width - 1);
    sum += coefficient == nullptr ? 0 : coefficient[e];
    touch<kWidth>(rows.data + indices[e] * stride, width, sink);
  }
  return sum + _mm512_reduce_add_epi64(sink);
}

}  // namespace

extern "C" {

// Reads the indices of the edges [begin, end), the coefficient of each (or none: null) and the row of `width` bytes of its source, of which
// each begins `stride` bytes behind the one before.
int64_t read_edges(const uint8_t* x, int64_t width, int64_t stride, const int32_t* indices, const int16_t* coefficient, int64_t begin,
                   int64_t end) {
  const Rows rows = {x, width, stride};
  switch (stride == width ? width : 0) {
    case 16:
      return gather<16>(rows, indices, coefficient, begin, end);
    case 21:
      return gather<21>(rows, indices, coefficient, begin, end);
    case 32:
      return gather<32>(rows, indices, coefficient, begin, end);
    case 41:
      return gather<41>(rows, indices, coefficient, begin, end);
    case 64:
      return gather<64>(rows, indices, coefficient, begin, end);
    case 128:
      return gather<128>(rows, indices, coefficient, begin, end);
    default:
      return gather<0>(rows, indices, coefficient, begin, end);
  }
}

// Reads the bytes [begin, end).
int64_t read_bytes(const uint8_t* x, int64_t begin, int64_t end) {
  __m512i sink = _mm512_setzero_si512();
  for (; begin + 64 <= end; begin += 64) sink = _mm512_xor_si512(sink, _mm512_loadu_si512(x + begin));
  return _mm512_reduce_add_epi64(sink);
}

// Multiplies and adds 12 * 64 pairs of bytes `rounds` times, all in registers.
void multiply_in_registers(int64_t rounds) {
  const __m512i one = _mm512_set1_epi8(1);
  __m512i a = one, b = one, c = one, d = one, e = one, f = one, g = one, h = one, i = one, j = one, k = one, l = one;
  for (int64_t n = 0; n < rounds; ++n) {
    asm volatile(
        "vpdpbusd %12, %12, %0\n vpdpbusd %12, %12, %1\n vpdpbusd %12, %12, %2\n vpdpbusd %12, %12, %3\n"
        "vpdpbusd %12, %12, %4\n vpdpbusd %12, %12, %5\n vpdpbusd %12, %12, %6\n vpdpbusd %12, %12, %7\n"
        "vpdpbusd %12, %12, %8\n vpdpbusd %12, %12, %9\n vpdpbusd %12, %12, %10\n vpdpbusd %12, %12, %11"
        : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k), "+v"(l)
        : "v"(one));
  }
}

}  // extern "C"
