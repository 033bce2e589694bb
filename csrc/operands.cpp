#include "operands.h"

namespace degreequant {
namespace {

// Bytes from a row of a matrix of codes to the next.
template <typename Array>
int64_t stride_of(const Array& array, CodeType type, int64_t cols) {
  return array.shape(0) > 1 && cols > 0 ? array.stride(0) * static_cast<int64_t>(array.itemsize()) : row_bytes(type, cols);
}

constexpr int64_t kMaxThreads = 1024;

}  // namespace

Input take_input(nb::handle object, const char* name, std::string_view type, const char* type_name, int64_t cols) {
  const CodeType code_type = parse_code_type(type, type_name);
  check_range(cols, 0, INT32_MAX, "cols");
  InArray array = input_codes(object, name, code_type, cols, Gaps::between_rows);
  const Codes codes = {data_of<uint8_t>(array), static_cast<int64_t>(array.shape(0)), cols, code_type, stride_of(array, code_type, cols)};
  return {std::move(array), codes};
}

Output take_output(nb::handle object, std::string_view type, int64_t rows, int64_t cols) {
  const CodeType code_type = parse_code_type(type, "out_type");
  OutArray array = output_codes(object, "out", code_type, rows, cols, Gaps::between_rows);
  const MutableCodes codes = {static_cast<uint8_t*>(array.data()), rows, cols, code_type, stride_of(array, code_type, cols)};
  return {std::move(array), codes};
}

void check_threads(int64_t threads) { check_range(threads, 1, kMaxThreads, "threads"); }

void check_zero_point(int64_t zero_point, CodeType type, const char* name) {
  const CodeRange range = code_range(type);
  check_range(zero_point, range.low, range.high, name);
}

void check_requantize(const RequantizeObject& requantize, int64_t cols, CodeType out_type) {
  const int64_t multipliers = static_cast<int64_t>(requantize.mantissa.size());
  if (multipliers != 1) check_equal(multipliers, cols, "the number of multipliers in requantize");
  if (requantize.has_addend) check_equal(static_cast<int64_t>(requantize.addend.size()), cols, "the number of addends in requantize");
  check_clamp_fits(requantize.clamp, out_type, "out_type");
}

RowMultipliers row_multipliers(nb::handle mantissa, nb::handle shift, int64_t rows, const OutArray& out) {
  RowMultipliers result;
  if (mantissa.is_none() != shift.is_none()) raise_value("expected row_mantissa and row_shift together, got one of them");
  if (mantissa.is_none()) return result;
  const int32_t* mantissas = optional_data<int32_t>(mantissa, "row_mantissa", rows, out, result.mantissa);
  const int32_t* shifts = optional_data<int32_t>(shift, "row_shift", rows, out, result.shift);
  check_multipliers(result.mantissa, result.shift, "row_mantissa", "row_shift");
  result.view = {mantissas, shifts, rows};
  return result;
}

}  // namespace degreequant
