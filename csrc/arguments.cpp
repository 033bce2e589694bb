#include "arguments.h"

#include <array>
#include <utility>

#include "dispatch.h"

namespace degreequant {
namespace {

constexpr int64_t kMaxStoredShift = 4096;  // far beyond any float64, and no sum of two comes near the limits of an int32

constexpr std::array<std::pair<std::string_view, CodeType>, 6> kCodeTypes = {{
    {"i4", CodeType::i4},
    {"u4", CodeType::u4},
    {"i8", CodeType::i8},
    {"u8", CodeType::u8},
    {"i16", CodeType::i16},
    {"u16", CodeType::u16},
}};

nb::dlpack::dtype storage_type(CodeType type) {
  switch (type) {
    case CodeType::i8:
      return nb::dtype<int8_t>();
    case CodeType::i16:
      return nb::dtype<int16_t>();
    case CodeType::u16:
      return nb::dtype<uint16_t>();
    default:
      return nb::dtype<uint8_t>();
  }
}

std::string type_name(nb::dlpack::dtype type) {
  const std::string bits = std::to_string(type.bits);
  switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
    case nb::dlpack::dtype_code::Int:
      return "int" + bits;
    case nb::dlpack::dtype_code::UInt:
      return "uint" + bits;
    case nb::dlpack::dtype_code::Float:
      return "float" + bits;
    case nb::dlpack::dtype_code::Bool:
      return "bool";
    default:
      return "another type of " + bits + " bits";
  }
}

template <typename Array>
std::string shape_of(const Array& array) {
  std::string text = "(";
  for (size_t i = 0; i < array.ndim(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(array.shape(i));
  return text + ")";
}

template <typename Array>
bool lies_as(const Array& array, Gaps gaps) {
  if (array.size() == 0) return true;
  int64_t stride = 1;
  for (size_t i = array.ndim(); i-- > 0;) {
    const bool may_be_apart = gaps == Gaps::between_rows && i == 0;
    if (array.shape(i) != 1 && (may_be_apart ? array.stride(i) < stride : array.stride(i) != stride)) return false;
    stride *= static_cast<int64_t>(array.shape(i));
  }
  return true;
}

// From the first byte of an array to behind the last, gaps included.
template <typename Array>
uintptr_t extent_of(const Array& array) {
  if (array.size() == 0) return 0;
  size_t last = 0;
  for (size_t i = 0; i < array.ndim(); ++i) last += (array.shape(i) - 1) * static_cast<size_t>(array.stride(i));
  return (last + 1) * array.itemsize();
}

[[noreturn]] void raise_not_an_array(nb::handle object, const char* name) {
  const std::string expected = "expected " + std::string(name) + " to be a ";
  if (nb::isinstance<nb::ndarray<nb::ro>>(object)) raise_type(expected + "writable array, got a read-only one");
  if (nb::hasattr(object, "dtype")) {
    const nb::object dtype = object.attr("dtype");
    raise_type(expected + "numpy array of numbers in native byte order, got dtype " + nb::str(nb::handle(dtype)).c_str());
  }
  raise_type(expected + "numpy array, got " + nb::type_name(object.type()).c_str());
}

template <typename Array>
Array checked_array(nb::handle object, const char* name, std::initializer_list<nb::dlpack::dtype> types, size_t ndim, Gaps gaps) {
  Array array;
  if (!nb::try_cast<Array>(object, array, false)) {
    raise_not_an_array(object, name);
  }
  std::string expected;
  bool known = false;
  for (const nb::dlpack::dtype type : types) {
    known = known || array.dtype() == type;
    expected += (expected.empty() ? "" : " or ") + type_name(type);
  }
  if (!known) raise_type("expected " + std::string(name) + " of " + expected + ", got " + type_name(array.dtype()));
  if (array.ndim() != ndim) {
    raise_value("expected " + std::string(name) + " with " + std::to_string(ndim) + " dimension" + (ndim == 1 ? "" : "s") + ", got shape " +
                shape_of(array));
  }
  if (array.device_type() != nb::device::cpu::value) raise_value("expected " + std::string(name) + " in this machine's memory");
  const bool aligned = reinterpret_cast<uintptr_t>(array.data()) % array.itemsize() == 0;
  if (!aligned || !lies_as(array, gaps)) raise_value("expected " + std::string(name) + " to be C-contiguous and aligned");
  return array;
}

template <typename Array>
void check_columns(const Array& array, const char* name, CodeType type, int64_t cols) {
  const int64_t width = row_bytes(type, cols) / static_cast<int64_t>(array.itemsize());
  if (static_cast<int64_t>(array.shape(1)) != width) {
    raise_value("expected " + std::string(name) + " with " + std::to_string(width) + " stored columns for " + std::to_string(cols) +
                " codes a row, got shape " + shape_of(array));
  }
}

}  // namespace

void raise_value(const std::string& message) { throw nb::value_error(message.c_str()); }
void raise_type(const std::string& message) { throw nb::type_error(message.c_str()); }

InArray input_array(nb::handle object, const char* name, std::initializer_list<nb::dlpack::dtype> types, size_t ndim, Gaps gaps) {
  return checked_array<InArray>(object, name, types, ndim, gaps);
}

OutArray output_array(nb::handle object, const char* name, std::initializer_list<nb::dlpack::dtype> types, size_t ndim, Gaps gaps) {
  return checked_array<OutArray>(object, name, types, ndim, gaps);
}

CodeType parse_code_type(std::string_view name, const char* argument) {
  for (const auto& [known, type] : kCodeTypes) {
    if (known == name) return type;
  }
  raise_value("expected " + std::string(argument) + " to be i4, u4, i8, u8, i16 or u16, got '" + std::string(name) + "'");
}

const Kernels& parse_isa(std::string_view name) {
  std::string names;
  for (const Kernels* table : available_kernels()) {
    if (table->name == name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  raise_value("expected isa to be one this CPU has (" + names + "), got '" + std::string(name) + "'");
}

InArray input_codes(nb::handle object, const char* name, CodeType type, int64_t cols, Gaps gaps) {
  InArray array = input_array(object, name, {storage_type(type)}, 2, gaps);
  check_columns(array, name, type, cols);
  return array;
}

OutArray output_codes(nb::handle object, const char* name, CodeType type, int64_t rows, int64_t cols, Gaps gaps) {
  OutArray array = output_array(object, name, {storage_type(type)}, 2, gaps);
  if (static_cast<int64_t>(array.shape(0)) != rows) {
    raise_value("expected " + std::string(name) + " with " + std::to_string(rows) + " rows, got shape " + shape_of(array));
  }
  check_columns(array, name, type, cols);
  return array;
}

void check_range(int64_t value, int64_t low, int64_t high, const char* name) {
  if (value < low || value > high) {
    raise_value("expected " + std::string(name) + " in [" + std::to_string(low) + ", " + std::to_string(high) + "], got " +
                std::to_string(value));
  }
}

void check_equal(int64_t value, int64_t wanted, const char* name) {
  if (value != wanted) raise_value("expected " + std::string(name) + " to be " + std::to_string(wanted) + ", got " + std::to_string(value));
}

void check_length(const InArray& array, int64_t length, const char* name) {
  if (static_cast<int64_t>(array.shape(0)) != length) {
    raise_value("expected " + std::string(name) + " of length " + std::to_string(length) + ", got " + std::to_string(array.shape(0)));
  }
}

void check_clamp(Clamp clamp) {
  check_range(clamp.q_min, -32768, 65535, "q_min");
  check_range(clamp.q_max, clamp.q_min, 65535, "q_max");
  check_range(clamp.zero_point, clamp.q_min, clamp.q_max, "zero_point");
}

void check_clamp_fits(Clamp clamp, CodeType type, const char* argument) {
  const CodeRange range = code_range(type);
  if (clamp.q_min < range.low || clamp.q_max > range.high) {
    raise_value("expected q_min and q_max in [" + std::to_string(range.low) + ", " + std::to_string(range.high) + "] for the given " +
                argument + ", got [" + std::to_string(clamp.q_min) + ", " + std::to_string(clamp.q_max) + "]");
  }
}

void check_apart(const InArray& input, const char* name, const OutArray& out) {
  const auto first = reinterpret_cast<uintptr_t>(input.data());
  const auto target = reinterpret_cast<uintptr_t>(out.data());
  if (first < target + extent_of(out) && target < first + extent_of(input)) {
    raise_value("expected out to share no memory with " + std::string(name));
  }
}

void check_multipliers(const InArray& mantissa, const InArray& shift, const char* mantissa_name, const char* shift_name) {
  check_length(shift, static_cast<int64_t>(mantissa.shape(0)), shift_name);
  const auto* mantissas = static_cast<const int32_t*>(mantissa.data());
  const auto* shifts = static_cast<const int32_t*>(shift.data());
  for (size_t i = 0; i < mantissa.shape(0); ++i) {
    check_range(mantissas[i], -kMaxMantissa, kMaxMantissa, mantissa_name);
    check_range(shifts[i], -kMaxStoredShift, kMaxStoredShift, shift_name);
  }
}

}  // namespace degreequant
