#include "operations.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <string>

#include "kernels.h"
#include "parallel.h"

namespace degreequant {
namespace {

constexpr int64_t kScanFloats = 4096;
constexpr int64_t kMaxThreads = 1024;

Codes codes_of(const InArray& array, int64_t cols, CodeType type) {
  return {data_of<uint8_t>(array), static_cast<int64_t>(array.shape(0)), cols, type};
}

MutableCodes codes_of(const OutArray& array, int64_t cols, CodeType type) {
  return {static_cast<uint8_t*>(array.data()), static_cast<int64_t>(array.shape(0)), cols, type};
}

// The channels a Requantize was made for must be those of the output.
void check_requantize(const RequantizeObject& requantize, int64_t cols, CodeType out_type) {
  const int64_t multipliers = static_cast<int64_t>(requantize.mantissa.size());
  if (multipliers != 1) check_equal(multipliers, cols, "the number of multipliers in requantize");
  if (requantize.has_addend) check_equal(static_cast<int64_t>(requantize.addend.size()), cols, "the number of addends in requantize");
  check_clamp_fits(requantize.clamp, out_type, "out_type");
}

// Position of the first NaN or infinity among `count` floats, or count.
int64_t find_nonfinite(const float* x, int64_t count) noexcept {
  constexpr uint32_t kExponent = 0x7f800000;
  bool found = false;
  for (int64_t i = 0; i < count; ++i) found |= (std::bit_cast<uint32_t>(x[i]) & kExponent) == kExponent;
  if (!found) return count;
  return std::find_if(x, x + count, [](float value) { return !std::isfinite(value); }) - x;
}

// Position of the first float that is not finite, or their number. A few rows are searched, then quantized while the cache still has them.
int64_t quantize_rows(const Kernels& kernels, const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t threads) {
  const nb::gil_scoped_release release;
  const int64_t step = std::max<int64_t>(1, kScanFloats / std::max<int64_t>(1, out.cols));
  std::mutex mutex;
  int64_t first_bad = out.rows * out.cols;
  run({out.rows, out.rows * out.cols * int64_t{sizeof(float)}}, threads, [&](int64_t begin, int64_t end) noexcept {
    for (int64_t row = begin; row < end; row += step) {
      const int64_t stop = std::min(end, row + step);
      const int64_t count = (stop - row) * out.cols;
      const int64_t bad = find_nonfinite(x + row * out.cols, count);
      if (bad < count) {
        const std::lock_guard lock(mutex);
        first_bad = std::min(first_bad, row * out.cols + bad);
        return;
      }
      kernels.quantize(x, inverse_scale, clamp, out, row, stop);
    }
  });
  return first_bad;
}

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

}  // namespace

void quantize(nb::object x, double inverse_scale, int32_t zero_point, int32_t q_min, int32_t q_max, nb::object out,
              std::string_view code_type, std::string_view isa, int64_t threads) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const Kernels& kernels = parse_isa(isa);
  const InArray values = input_array(x, "x", {nb::dtype<float>()}, 2);
  const int64_t rows = static_cast<int64_t>(values.shape(0));
  const int64_t cols = static_cast<int64_t>(values.shape(1));
  const OutArray codes = output_codes(out, "out", type, rows, cols);
  const Clamp clamp{zero_point, q_min, q_max};
  const float inverse = static_cast<float>(inverse_scale);
  if (!(inverse > 0) || !std::isfinite(inverse)) {
    raise_value("expected inverse_scale to be a positive finite float32, got " + std::to_string(inverse_scale));
  }
  check_clamp(clamp);
  check_clamp_fits(clamp, type, "code_type");
  check_range(threads, 1, kMaxThreads, "threads");
  check_apart(values, "x", codes);

  const float* data = data_of<float>(values);
  const int64_t bad = quantize_rows(kernels, data, inverse, clamp, codes_of(codes, cols, type), threads);
  if (bad < rows * cols) {
    raise_value("expected x to be finite, got " + std::to_string(data[bad]) + " at row " + std::to_string(bad / cols) + ", column " +
                std::to_string(bad % cols));
  }
}

void linear(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const PackedWeight& weight,
            const RequantizeObject& requantize, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads,
            nb::object row_mantissa, nb::object row_shift) {
  const CodeType input_type = parse_code_type(x_type, "x_type");
  const CodeType output_type = parse_code_type(out_type, "out_type");
  const Kernels& kernels = parse_isa(isa);
  check_equal(cols, weight.in(), "cols");
  const InArray input = input_codes(x, "x", input_type, cols);
  const int64_t rows = static_cast<int64_t>(input.shape(0));
  const OutArray output = output_codes(out, "out", output_type, rows, weight.out());
  const CodeRange range = code_range(input_type);
  check_range(zero_point, range.low, range.high, "zero_point");
  check_requantize(requantize, weight.out(), output_type);
  const RowMultipliers per_row = row_multipliers(row_mantissa, row_shift, rows, output);
  check_range(threads, 1, kMaxThreads, "threads");
  check_apart(input, "x", output);

  const Codes source = codes_of(input, cols, input_type);
  const MutableCodes target = codes_of(output, weight.out(), output_type);
  const Weight view = weight.view(std::max(range.high - zero_point, zero_point - range.low));
  const Requantize rule = requantize.view(per_row.view);
  const nb::gil_scoped_release release;
  run({rows, rows * (1 + cols) * (1 + weight.out() / kWeightBlock)}, threads,
      [&](int64_t begin, int64_t end) noexcept { kernels.linear(source, zero_point, view, rule, target, begin, end); });
}

void aggregate(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, nb::object source_coefficient,
               nb::object edge_coefficient, const RequantizeObject& requantize, nb::object row_mantissa, nb::object row_shift,
               nb::object out, std::string_view out_type, std::string_view isa, int64_t threads) {
  const CodeType input_type = parse_code_type(x_type, "x_type");
  const CodeType output_type = parse_code_type(out_type, "out_type");
  const Kernels& kernels = parse_isa(isa);
  check_range(cols, 0, INT32_MAX, "cols");
  const InArray input = input_codes(x, "x", input_type, cols);
  check_equal(static_cast<int64_t>(input.shape(0)), csr.rows, "the number of rows of x");
  const OutArray output = output_codes(out, "out", output_type, csr.rows, cols);
  check_requantize(requantize, cols, output_type);
  const RowMultipliers per_row = row_multipliers(row_mantissa, row_shift, csr.rows, output);
  check_range(threads, 1, kMaxThreads, "threads");
  check_apart(input, "x", output);

  InArray keep_source, keep_edge;
  const int16_t* per_source = optional_data<int16_t>(source_coefficient, "source_coefficient", csr.rows, output, keep_source);
  const int16_t* per_edge = optional_data<int16_t>(edge_coefficient, "edge_coefficient", csr.edges(), output, keep_edge);
  if (per_source != nullptr && per_edge != nullptr) raise_value("expected source_coefficient or edge_coefficient, got both");

  const Codes source = codes_of(input, cols, input_type);
  const MutableCodes target = codes_of(output, cols, output_type);
  const Csr graph = csr.view();
  const Requantize rule = requantize.view(per_row.view);
  const nb::gil_scoped_release release;
  run({csr.rows, (csr.edges() + csr.rows) * (1 + cols), graph.indptr}, threads,
      [&](int64_t begin, int64_t end) noexcept { kernels.aggregate(source, graph, per_source, per_edge, rule, target, begin, end); });
}

}  // namespace degreequant
