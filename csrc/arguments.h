// From Python objects to checked views. Every function here raises ValueError or TypeError with one sentence: what was expected, what came.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "kernels.h"

namespace degreequant {

namespace nb = nanobind;
using InArray = nb::ndarray<nb::ro>;
using OutArray = nb::ndarray<>;

[[noreturn]] void raise_value(const std::string& message);
[[noreturn]] void raise_type(const std::string& message);

// How an array may lie in memory: without gaps, or with some between the rows of a matrix.
enum class Gaps : uint8_t { none, between_rows };

// A C-contiguous, aligned array in this machine's memory, with one of the types and `ndim` dimensions.
InArray input_array(nb::handle object, const char* name, std::initializer_list<nb::dlpack::dtype> types, size_t ndim,
                    Gaps gaps = Gaps::none);
OutArray output_array(nb::handle object, const char* name, std::initializer_list<nb::dlpack::dtype> types, size_t ndim,
                      Gaps gaps = Gaps::none);

template <typename T>
const T* data_of(const InArray& array) {
  return static_cast<const T*>(array.data());
}

CodeType parse_code_type(std::string_view name, const char* argument);
const Kernels& parse_isa(std::string_view name);

// The storage of `rows` rows of `cols` codes; rows < 0 takes as many as the array has.
InArray input_codes(nb::handle object, const char* name, CodeType type, int64_t cols, Gaps gaps = Gaps::none);
OutArray output_codes(nb::handle object, const char* name, CodeType type, int64_t rows, int64_t cols, Gaps gaps = Gaps::none);

// value must lie in [low, high].
void check_range(int64_t value, int64_t low, int64_t high, const char* name);
void check_equal(int64_t value, int64_t wanted, const char* name);
void check_length(const InArray& array, int64_t length, const char* name);
void check_clamp(Clamp clamp);
void check_clamp_fits(Clamp clamp, CodeType type, const char* argument);
void check_apart(const InArray& input, const char* name, const OutArray& out);

// Two int32 arrays of one length: mantissas and shifts, within the limits that keep combine() and bounded() exact.
void check_multipliers(const InArray& mantissa, const InArray& shift, const char* mantissa_name, const char* shift_name);

}  // namespace degreequant
