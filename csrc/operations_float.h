// The float32 operations as Python calls them: as operations.h, for float_kernels.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "arguments.h"
#include "float_weight.h"
#include "objects.h"

namespace degreequant {

// Position of the first value of x, row by row, that is not finite; -1 where all are.
int64_t first_nonfinite(nb::object x, int64_t threads);

void float_linear(nb::object x, const PackedFloatWeight& weight, const FloatFinishObject& finish, nb::object out, std::string_view isa,
                  int64_t threads);
void float_aggregate(nb::object x, const CsrObject& csr, nb::object source_coefficient, nb::object edge_coefficient, nb::object row_factor,
                     double self_coefficient, const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads);
void float_maximum(nb::object x, const CsrObject& csr, nb::object out, std::string_view isa, int64_t threads);
void float_attend(nb::object x, const CsrObject& csr, nb::object logits, nb::object edge_logits, int64_t heads, double slope, bool average,
                  const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads);
void float_rescale(nb::object x, const FloatFinishObject& finish, nb::object out, int64_t offset, std::string_view isa, int64_t threads);
void float_add(nb::object a, nb::object b, const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads);
void float_activate(nb::object x, std::string_view activation, double a, double b, nb::object out, std::string_view isa, int64_t threads);
void dequantize(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, double scale, nb::object out, std::string_view isa,
                int64_t threads);

void bind_floats(nb::module_& m);

}  // namespace degreequant
