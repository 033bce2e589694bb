// Functions of one variable on vectors of float32, by the same IEEE operations on every instruction set. Right to a few units of 2^-23 of
// the result, or of 1 where that is larger.
#pragma once

#include "float_kernels.h"

namespace degreequant {

template <typename Lanes>
struct FloatMath {
  using Vector = typename Lanes::Vector;

  DEGREEQUANT_INLINE static Vector negate(Vector x) noexcept { return Lanes::multiply(x, Lanes::set(-1.0F)); }
  DEGREEQUANT_INLINE static Vector magnitude(Vector x) noexcept { return Lanes::where_less(x, Lanes::set(0.0F), negate(x), x); }
  DEGREEQUANT_INLINE static Vector with_sign_of(Vector x, Vector size) noexcept {
    return Lanes::where_less(x, Lanes::set(0.0F), negate(size), size);
  }
  DEGREEQUANT_INLINE static Vector clamp(Vector x, float low, float high) noexcept {
    return Lanes::minimum(Lanes::maximum(x, Lanes::set(low)), Lanes::set(high));
  }

  // The polynomial with these coefficients, highest power first.
  template <typename... Rest>
  DEGREEQUANT_INLINE static Vector polynomial(Vector x, float highest, Rest... rest) noexcept {
    Vector sum = Lanes::set(highest);
    ((sum = Lanes::fma(sum, x, Lanes::set(rest))), ...);
    return sum;
  }

  // Of x brought to [-87, 88]. exp(x) = 2^n exp(r), |r| <= ln(2) / 2, and the Taylor polynomial of exp(r), whose rest is below 2^-26.
  DEGREEQUANT_INLINE static Vector exp(Vector x) noexcept {
    x = clamp(x, -87.0F, 88.0F);
    const Vector shifter = Lanes::set(12582912.0F);  // 1.5 * 2^23: what is added to it is rounded to an integer in its low bits
    const Vector n = Lanes::fma(x, Lanes::set(1.44269504F), shifter);
    const Vector whole = Lanes::subtract(n, shifter);
    Vector r = Lanes::fma(whole, Lanes::set(-0.693359375F), x);  // ln 2 in two parts, the first of few bits
    r = Lanes::fma(whole, Lanes::set(2.12194440e-4F), r);
    const Vector p = polynomial(r, 1.0F / 5040, 1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F);
    return Lanes::times_power(p, n);
  }

  // log(1 + u) for 0 <= u <= 1: 2 atanh(u / (2 + u)), whose argument is at most 1 / 3.
  DEGREEQUANT_INLINE static Vector log1p(Vector u) noexcept {
    const Vector s = Lanes::divide(u, Lanes::add(u, Lanes::set(2.0F)));
    const Vector series = polynomial(Lanes::multiply(s, s), 2.0F / 15, 2.0F / 13, 2.0F / 11, 2.0F / 9, 2.0F / 7, 2.0F / 5, 2.0F / 3, 2.0F);
    return Lanes::multiply(s, series);
  }

  DEGREEQUANT_INLINE static Vector sigmoid(Vector x) noexcept {
    const Vector one = Lanes::set(1.0F);
    return Lanes::divide(one, Lanes::add(one, exp(negate(x))));
  }

  DEGREEQUANT_INLINE static Vector tanh(Vector x) noexcept {
    const Vector one = Lanes::set(1.0F);
    const Vector size = magnitude(x);
    const Vector e = exp(Lanes::add(size, size));
    return with_sign_of(x, Lanes::subtract(one, Lanes::divide(Lanes::set(2.0F), Lanes::add(e, one))));
  }

  // Abramowitz and Stegun 7.1.26; off by at most 1.5e-7.
  DEGREEQUANT_INLINE static Vector erf(Vector x) noexcept {
    const Vector one = Lanes::set(1.0F);
    const Vector size = magnitude(x);
    const Vector t = Lanes::divide(one, Lanes::fma(size, Lanes::set(0.3275911F), one));
    const Vector p = polynomial(t, 1.061405429F, -1.453152027F, 1.421413741F, -0.284496736F, 0.254829592F, 0.0F);
    return with_sign_of(x, Lanes::subtract(one, Lanes::multiply(p, exp(negate(Lanes::multiply(size, size))))));
  }

  // log(1 + exp(x)), without overflow.
  DEGREEQUANT_INLINE static Vector softplus(Vector x) noexcept {
    return Lanes::add(Lanes::maximum(x, Lanes::set(0.0F)), log1p(exp(negate(magnitude(x)))));
  }

  // alpha * (exp(x / beta) - 1) below 0, x above.
  DEGREEQUANT_INLINE static Vector elu(Vector x, float alpha, float inverse_beta) noexcept {
    const Vector below =
        Lanes::multiply(Lanes::set(alpha), Lanes::subtract(exp(Lanes::multiply(x, Lanes::set(inverse_beta))), Lanes::set(1.0F)));
    return Lanes::where_less(x, Lanes::set(0.0F), below, x);
  }

  DEGREEQUANT_INLINE static Vector half_times_one_plus(Vector x, Vector y) noexcept {
    return Lanes::multiply(Lanes::multiply(x, Lanes::set(0.5F)), Lanes::add(y, Lanes::set(1.0F)));
  }
  DEGREEQUANT_INLINE static Vector gelu_tanh(Vector x) noexcept {
    const Vector inner = Lanes::fma(Lanes::multiply(Lanes::set(0.044715F), Lanes::multiply(x, x)), x, x);
    return half_times_one_plus(x, tanh(Lanes::multiply(inner, Lanes::set(0.797884561F))));
  }
  // x tanh(log(1 + e)) = x (e^2 + 2 e) / (e^2 + 2 e + 2), e = exp(x); beyond 20 it is x.
  DEGREEQUANT_INLINE static Vector mish(Vector x) noexcept {
    const Vector e = exp(Lanes::minimum(x, Lanes::set(20.0F)));
    const Vector n = Lanes::multiply(e, Lanes::add(e, Lanes::set(2.0F)));
    return Lanes::multiply(x, Lanes::divide(n, Lanes::add(n, Lanes::set(2.0F))));
  }
  // x clamp(x / 6 + 1 / 2, 0, 1), and without the first factor.
  DEGREEQUANT_INLINE static Vector hardsigmoid(Vector x) noexcept {
    return clamp(Lanes::divide(Lanes::add(x, Lanes::set(3.0F)), Lanes::set(6.0F)), 0.0F, 1.0F);
  }

  // Calls f with the function that `activation` names.
  template <typename F>
  DEGREEQUANT_INLINE static void with_activation(Activation activation, float a, float b, F f) noexcept {
    switch (activation) {
      case Activation::relu6:
        return f([](Vector x) { return clamp(x, 0.0F, 6.0F); });
      case Activation::leaky_relu:
        return f([a](Vector x) { return Lanes::where_less(x, Lanes::set(0.0F), Lanes::multiply(x, Lanes::set(a)), x); });
      case Activation::elu:
        return f([a](Vector x) { return elu(x, a, 1.0F); });
      case Activation::selu:
        return f([](Vector x) { return Lanes::multiply(Lanes::set(1.05070099F), elu(x, 1.67326324F, 1.0F)); });
      case Activation::celu:
        return f([a](Vector x) { return elu(x, a, 1.0F / a); });
      case Activation::gelu:
        return f([](Vector x) { return half_times_one_plus(x, erf(Lanes::multiply(x, Lanes::set(0.707106781F)))); });
      case Activation::gelu_tanh:
        return f([](Vector x) { return gelu_tanh(x); });
      case Activation::silu:
        return f([](Vector x) { return Lanes::multiply(x, sigmoid(x)); });
      case Activation::mish:
        return f([](Vector x) { return mish(x); });
      case Activation::softplus:
        return f([a, b](Vector x) {
          const Vector scaled = Lanes::multiply(x, Lanes::set(a));
          return Lanes::where_less(Lanes::set(b), scaled, x, Lanes::divide(softplus(scaled), Lanes::set(a)));
        });
      case Activation::softsign:
        return f([](Vector x) { return Lanes::divide(x, Lanes::add(magnitude(x), Lanes::set(1.0F))); });
      case Activation::tanh:
        return f([](Vector x) { return tanh(x); });
      case Activation::sigmoid:
        return f([](Vector x) { return sigmoid(x); });
      case Activation::hardtanh:
        return f([a, b](Vector x) { return clamp(x, a, b); });
      case Activation::hardswish:
        return f([](Vector x) { return Lanes::multiply(x, hardsigmoid(x)); });
      case Activation::hardsigmoid:
        return f([](Vector x) { return hardsigmoid(x); });
      case Activation::logsigmoid:
        return f([](Vector x) { return negate(softplus(negate(x))); });
    }
  }
};

}  // namespace degreequant
