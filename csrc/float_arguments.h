// What the float32 operations and steps take from Python, checked.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "float_weight.h"

namespace degreequant {

PackedFloatWeight make_float_weight(nb::object weight);
FloatFinishObject make_float_finish(nb::object scale, nb::object bias, bool relu);

Activation parse_activation(std::string_view name);
void check_finish(const FloatFinishObject& finish, int64_t cols);
float check_finite(double value, const char* name);
// A vector of floats, where the object is not None.
std::optional<std::vector<float>> copy_of_floats(nb::handle object, const char* name);

}  // namespace degreequant
