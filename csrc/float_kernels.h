// The contract of every float32 kernel: plain views and one table of function pointers per instruction set, as kernels.h has it for codes.
//
// A kernel computes the rows [begin, end) of its output and trusts its arguments. Every result is the same to the bit on every instruction
// set and for any number of threads: each output has one accumulator, to which terms are added in the order written here, each by one
// fused multiply-add, and what is not a sum is computed by the same IEEE operations everywhere (float_math.h).
#pragma once

#include <cstdint>

#include "kernels.h"

namespace degreequant {

// Row-major float32.
template <typename Float>
struct FloatView {
  Float* data;
  int64_t rows;
  int64_t cols;
};
using Floats = FloatView<const float>;
using MutableFloats = FloatView<float>;

// How an accumulator becomes a result: y = acc * scale + bias, then max(y, 0) with `relu`.
struct FloatFinish {
  const float* scale;  // per channel, or null: 1
  const float* bias;   // per channel, or null: 0
  bool relu;
};

constexpr int64_t kFloatBlock = 32;  // outputs in a block of a packed weight

// A weight [out, in] packed as [blocks of 32 outputs][in][32 outputs], zero padded, 64-byte aligned.
struct FloatWeight {
  const float* packed;
  int64_t out;
  int64_t in;
};

// acc[i,c] = row_factor[i] * (sum over the edges e of row i, in order, of coefficient * x[indices[e], c] + self_coefficient * x[i, c])
struct FloatSum {
  Floats x;  // csr.sources rows
  Csr csr;
  const float* source_coefficient;  // of each source, or null
  const float* edge_coefficient;    // of each edge, or null; without either all coefficients are 1
  const float* row_factor;          // of each row, or null: 1
  float self_coefficient;           // other than 0 only with as many rows as sources
};

// Softmax over the edges of a row: weights exp(l - largest l of the row), l = LeakyReLU(source's half + target's half + edge's part).
// acc[i, h, c] = sum of weight * x[j, h, c] / sum of weights; 0 in a row without edges.
struct FloatAttention {
  Floats x;                       // [csr.sources, heads * channels]
  Csr csr;                        // as many rows as sources
  const float* logits;            // [csr.sources, 2 * heads]: each head's half of the source, then each head's half of the target
  const float* edge_logits;       // [edges, heads], or null
  const int32_t* head_of_column;  // of each column of x, and of kHeadPadding columns more
  int64_t heads;                  // a divisor of x.cols
  float slope;                    // of the LeakyReLU, 0 .. 1
  bool average;                   // the mean of the heads instead of all of them side by side

  DEGREEQUANT_INLINE constexpr int64_t channels() const noexcept { return x.cols / heads; }
};

constexpr int64_t kHeadPadding = 16;

enum class Activation : uint8_t {
  relu6,
  leaky_relu,  // a: slope
  elu,         // a: alpha
  selu,
  celu,  // a: alpha
  gelu,
  gelu_tanh,
  silu,
  mish,
  softplus,  // a: beta, b: threshold
  softsign,
  tanh,
  sigmoid,
  hardtanh,  // a: lowest, b: highest
  hardswish,
  hardsigmoid,
  logsigmoid,
};

struct FloatKernels {
  // acc[i,o] = sum over k, in order, of x[i,k] * w[o,k]
  void (*linear)(Floats x, const FloatWeight& weight, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept;

  void (*aggregate)(const FloatSum& sum, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept;

  // The largest value of each channel among the sources of a row; 0 in a row without.
  void (*maximum)(Floats x, const Csr& csr, MutableFloats out, int64_t begin, int64_t end) noexcept;

  void (*attend)(const FloatAttention& attention, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept;

  // acc = x, stored in column offset + c.
  void (*rescale)(Floats x, const FloatFinish& finish, MutableFloats out, int64_t offset, int64_t begin, int64_t end) noexcept;

  // acc = a + b
  void (*add)(Floats a, Floats b, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept;

  void (*activate)(Floats x, Activation activation, float a, float b, MutableFloats out, int64_t begin, int64_t end) noexcept;

  // (code - zero_point) * scale
  void (*dequantize)(Codes x, int32_t zero_point, float scale, MutableFloats out, int64_t begin, int64_t end) noexcept;

  // x - log(sum of exp(x)) along the channels, and exp(x) / sum of exp(x).
  void (*log_softmax)(Floats x, MutableFloats out, int64_t begin, int64_t end) noexcept;
  void (*softmax)(Floats x, MutableFloats out, int64_t begin, int64_t end) noexcept;
};

}  // namespace degreequant
