#include "float_arguments.h"

#include <array>
#include <cmath>
#include <utility>

namespace degreequant {
namespace {

constexpr std::array<std::pair<std::string_view, Activation>, 17> kActivations = {{
    {"relu6", Activation::relu6},
    {"leaky_relu", Activation::leaky_relu},
    {"elu", Activation::elu},
    {"selu", Activation::selu},
    {"celu", Activation::celu},
    {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh},
    {"silu", Activation::silu},
    {"mish", Activation::mish},
    {"softplus", Activation::softplus},
    {"softsign", Activation::softsign},
    {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid},
    {"hardtanh", Activation::hardtanh},
    {"hardswish", Activation::hardswish},
    {"hardsigmoid", Activation::hardsigmoid},
    {"logsigmoid", Activation::logsigmoid},
}};

}  // namespace

PackedFloatWeight make_float_weight(nb::object weight) {
  const InArray array = input_array(weight, "weight", {nb::dtype<float>()}, 2);
  return {data_of<float>(array), static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1))};
}

FloatFinishObject make_float_finish(nb::object scale, nb::object bias, bool relu) {
  return {copy_of_floats(scale, "scale"), copy_of_floats(bias, "bias"), relu};
}

Activation parse_activation(std::string_view name) {
  std::string names;
  for (const auto& [known, activation] : kActivations) {
    if (known == name) return activation;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  raise_value("expected activation to be one of " + names + ", got '" + std::string(name) + "'");
}

void check_finish(const FloatFinishObject& finish, int64_t cols) {
  if (finish.scale) check_equal(static_cast<int64_t>(finish.scale->size()), cols, "the length of scale in finish");
  if (finish.bias) check_equal(static_cast<int64_t>(finish.bias->size()), cols, "the length of bias in finish");
}

float check_finite(double value, const char* name) {
  const float narrow = static_cast<float>(value);
  if (!std::isfinite(narrow)) raise_value("expected " + std::string(name) + " to be a finite float32, got " + std::to_string(value));
  return narrow;
}

std::optional<std::vector<float>> copy_of_floats(nb::handle object, const char* name) {
  if (object.is_none()) return std::nullopt;
  const InArray array = input_array(object, name, {nb::dtype<float>()}, 1);
  return std::vector<float>(data_of<float>(array), data_of<float>(array) + array.size());
}

}  // namespace degreequant
