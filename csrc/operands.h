// What the operations take from Python, checked: matrices of codes, optional arrays, multipliers of the rows.
#pragma once

#include <cstdint>
#include <string_view>

#include "arguments.h"
#include "objects.h"

namespace degreequant {

// A matrix of codes that a kernel reads or writes, and the array that owns its memory.
struct Input {
  InArray array;
  Codes codes;
};
struct Output {
  OutArray array;
  MutableCodes codes;
};

// `type` is the value of the argument `type_name`. Raises where the matrix has not `cols` codes a row.
Input take_input(nb::handle object, const char* name, std::string_view type, const char* type_name, int64_t cols);
// The same for the argument `out`, whose shape is known; it must be apart from every input (check_apart).
Output take_output(nb::handle object, std::string_view type, int64_t rows, int64_t cols);

void check_threads(int64_t threads);
void check_zero_point(int64_t zero_point, CodeType type, const char* name);

// The channels a Requantize was made for must be those of the output, and its grid one that the output's type can hold.
void check_requantize(const RequantizeObject& requantize, int64_t cols, CodeType out_type);

// An optional one-dimensional array of `length` elements, apart from `out`; null where the object is None.
template <typename T>
const T* optional_data(nb::handle object, const char* name, int64_t length, const OutArray& out, InArray& keep) {
  if (object.is_none()) return nullptr;
  keep = input_array(object, name, {nb::dtype<T>()}, 1);
  check_length(keep, length, name);
  check_apart(keep, name, out);
  return data_of<T>(keep);
}

// The rows' own multipliers and the arrays that hold them.
struct RowMultipliers {
  InArray mantissa;
  InArray shift;
  Multipliers view = {nullptr, nullptr, 0};
};
RowMultipliers row_multipliers(nb::handle mantissa, nb::handle shift, int64_t rows, const OutArray& out);

}  // namespace degreequant
