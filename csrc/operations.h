// The three operations as Python calls them: check every argument, release the GIL, spread the rows over threads.
#pragma once

#include <cstdint>
#include <string_view>

#include "arguments.h"
#include "objects.h"
#include "weight.h"

namespace degreequant {

// Where x is not finite it raises, and `out` is left undefined.
void quantize(nb::object x, double inverse_scale, int32_t zero_point, int32_t q_min, int32_t q_max, nb::object out,
              std::string_view code_type, std::string_view isa, int64_t threads);
void linear(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const PackedWeight& weight,
            const RequantizeObject& requantize, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads,
            nb::object row_mantissa, nb::object row_shift);
void aggregate(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, nb::object source_coefficient,
               nb::object edge_coefficient, const RequantizeObject& requantize, nb::object row_mantissa, nb::object row_shift,
               nb::object out, std::string_view out_type, std::string_view isa, int64_t threads);

}  // namespace degreequant
