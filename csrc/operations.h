// The operations as Python calls them: check every argument, release the GIL, spread the rows over threads.
#pragma once

#include <cstdint>
#include <string_view>

#include "arguments.h"
#include "operands.h"
#include "weight.h"

namespace degreequant {

// Where x is not finite it raises, and `out` is left undefined.
void quantize(nb::object x, double inverse_scale, int32_t zero_point, int32_t q_min, int32_t q_max, nb::object out,
              std::string_view code_type, std::string_view isa, int64_t threads);
void linear(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const PackedWeight& weight,
            const RequantizeObject& requantize, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads,
            nb::object row_mantissa, nb::object row_shift);
void aggregate(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const CsrObject& csr, nb::object coefficient,
               int64_t self_coefficient, int64_t edge_shift, const RequantizeObject& requantize, nb::object row_mantissa,
               nb::object row_shift, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads);
void maximum(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, int32_t empty, nb::object out, std::string_view isa,
             int64_t threads);
void attend(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, nb::object logits, nb::object edge_logits,
            int64_t heads, int64_t slope, nb::object table, bool average, const RequantizeObject& requantize, nb::object out,
            std::string_view out_type, std::string_view isa, int64_t threads);
void add(nb::object a, std::string_view a_type, int32_t a_zero, nb::object b, std::string_view b_type, int32_t b_zero, int64_t cols,
         int64_t a_mantissa, int64_t b_mantissa, int64_t shift, nb::object addend, int32_t zero_point, int32_t q_min, int32_t q_max,
         nb::object out, std::string_view out_type, std::string_view isa, int64_t threads);
void rescale(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const RequantizeObject& requantize, nb::object out,
             std::string_view out_type, int64_t out_cols, int64_t offset, std::string_view isa, int64_t threads);
void lookup(nb::object x, std::string_view x_type, int64_t cols, nb::object table, nb::object out, std::string_view out_type,
            std::string_view isa, int64_t threads);

}  // namespace degreequant
