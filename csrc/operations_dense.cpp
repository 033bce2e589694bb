#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>

#include "finite.h"
#include "gil.h"
#include "operations.h"
#include "parallel.h"
#include "rule.h"

namespace degreequant {
namespace {

// Position of the first float that is not finite, or their number.
int64_t quantize_rows(const Kernels& kernels, const float* x, float inverse_scale, Clamp clamp, MutableCodes out, int64_t threads) {
  const Unlocked unlocked;
  std::mutex mutex;
  int64_t first_bad = out.rows * out.cols;
  run({out.rows, out.rows * out.cols * int64_t{sizeof(float)}}, threads, [&](int64_t begin, int64_t end) noexcept {
    if (kernels.quantize(x, inverse_scale, clamp, out, begin, end)) return;
    const int64_t bad = begin * out.cols + find_nonfinite(x + begin * out.cols, (end - begin) * out.cols);
    const std::lock_guard lock(mutex);
    first_bad = std::min(first_bad, bad);
  });
  return first_bad;
}

// Calls body(begin, end) on blocks of rows that are all alike.
template <typename Body>
void run_elementwise(int64_t rows, int64_t cols, int64_t threads, const Body& body) {
  const Unlocked unlocked;
  run({rows, rows * (1 + cols)}, threads, body);
}

// The table of `lookup` has an entry for each code of the input, and each entry is a code of the output.
const int32_t* take_table(const InArray& table, CodeType type, CodeType out_type) {
  const CodeRange range = code_range(type);
  check_length(table, range.high - range.low + 1, "table");
  const int32_t* entries = data_of<int32_t>(table);
  const CodeRange allowed = code_range(out_type);
  for (size_t i = 0; i < table.shape(0); ++i) check_range(entries[i], allowed.low, allowed.high, "every entry of table");
  return entries;
}

}  // namespace

void quantize(nb::object x, double inverse_scale, int32_t zero_point, int32_t q_min, int32_t q_max, nb::object out,
              std::string_view code_type, std::string_view isa, int64_t threads) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const Kernels& kernels = parse_isa(isa);
  const InArray values = input_array(x, "x", {nb::dtype<float>()}, 2);
  const int64_t rows = static_cast<int64_t>(values.shape(0));
  const int64_t cols = static_cast<int64_t>(values.shape(1));
  const Output codes = take_output(out, code_type, rows, cols);
  const Clamp clamp{zero_point, q_min, q_max};
  const float inverse = static_cast<float>(inverse_scale);
  if (!(inverse > 0) || !std::isfinite(inverse)) {
    raise_value("expected inverse_scale to be a positive finite float32, got " + std::to_string(inverse_scale));
  }
  check_clamp(clamp);
  check_clamp_fits(clamp, type, "code_type");
  check_threads(threads);
  check_apart(values, "x", codes.array);

  const float* data = data_of<float>(values);
  const int64_t bad = quantize_rows(kernels, data, inverse, clamp, codes.codes, threads);
  if (bad < rows * cols) {
    raise_value("expected x to be finite, got " + std::to_string(data[bad]) + " at row " + std::to_string(bad / cols) + ", column " +
                std::to_string(bad % cols));
  }
}

void linear(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const PackedWeight& weight,
            const RequantizeObject& requantize, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads,
            nb::object row_mantissa, nb::object row_shift) {
  const Kernels& kernels = parse_isa(isa);
  check_equal(cols, weight.in(), "cols");
  const Input input = take_input(x, "x", x_type, "x_type", cols);
  const int64_t rows = input.codes.rows;
  const Output output = take_output(out, out_type, rows, weight.out());
  check_zero_point(zero_point, input.codes.type, "zero_point");
  check_requantize(requantize, weight.out(), output.codes.type);
  const RowMultipliers per_row = row_multipliers(row_mantissa, row_shift, rows, output.array);
  check_threads(threads);
  check_apart(input.array, "x", output.array);

  const Weight view = weight.view(max_distance(input.codes.type, zero_point));
  const Requantize rule = requantize.view(per_row.view);
  const Unlocked unlocked;
  run({rows, rows * (1 + cols) * (1 + weight.out() / kWeightBlock)}, threads,
      [&](int64_t begin, int64_t end) noexcept { kernels.linear(input.codes, zero_point, view, rule, output.codes, begin, end); });
}

void add(nb::object a, std::string_view a_type, int32_t a_zero, nb::object b, std::string_view b_type, int32_t b_zero, int64_t cols,
         int64_t a_mantissa, int64_t b_mantissa, int64_t shift, nb::object addend, int32_t zero_point, int32_t q_min, int32_t q_max,
         nb::object out, std::string_view out_type, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input first = take_input(a, "a", a_type, "a_type", cols);
  const Input second = take_input(b, "b", b_type, "b_type", cols);
  const int64_t rows = first.codes.rows;
  check_equal(second.codes.rows, rows, "the number of rows of b");
  const Output output = take_output(out, out_type, rows, cols);
  check_zero_point(a_zero, first.codes.type, "a_zero");
  check_zero_point(b_zero, second.codes.type, "b_zero");
  check_range(a_mantissa, -kMaxMantissa, kMaxMantissa, "a_mantissa");
  check_range(b_mantissa, -kMaxMantissa, kMaxMantissa, "b_mantissa");
  const Clamp clamp{zero_point, q_min, q_max};
  check_clamp(clamp);
  check_clamp_fits(clamp, output.codes.type, "out_type");
  InArray keep;
  const int32_t* addends = optional_data<int32_t>(addend, "addend", cols, output.array, keep);
  for (int64_t c = 0; addends != nullptr && c < cols; ++c) check_range(addends[c], -kMaxAddend, kMaxAddend, "addend");
  const ShiftLimits limits = limits_of(clamp, addends, static_cast<size_t>(cols));
  check_range(shift, limits.least, limits.most, "shift");
  check_threads(threads);
  check_apart(first.array, "a", output.array);
  check_apart(second.array, "b", output.array);

  const Addition addition = {{first.codes, a_zero, static_cast<int32_t>(a_mantissa)},
                             {second.codes, b_zero, static_cast<int32_t>(b_mantissa)},
                             static_cast<int32_t>(shift),
                             addends,
                             clamp};
  run_elementwise(rows, cols, threads, [&](int64_t begin, int64_t end) noexcept { kernels.add(addition, output.codes, begin, end); });
}

void rescale(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const RequantizeObject& requantize, nb::object out,
             std::string_view out_type, int64_t out_cols, int64_t offset, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_input(x, "x", x_type, "x_type", cols);
  const int64_t rows = input.codes.rows;
  check_range(out_cols, 0, INT32_MAX, "out_cols");
  const Output output = take_output(out, out_type, rows, out_cols);
  check_zero_point(zero_point, input.codes.type, "zero_point");
  check_range(offset, 0, out_cols, "offset");
  check_range(cols, 0, out_cols - offset, "cols");
  check_requantize(requantize, cols, output.codes.type);
  check_threads(threads);
  check_apart(input.array, "x", output.array);

  const Requantize rule = requantize.view({nullptr, nullptr, 0});
  run_elementwise(rows, cols, threads, [&](int64_t begin, int64_t end) noexcept {
    kernels.rescale(input.codes, zero_point, rule, output.codes, offset, begin, end);
  });
}

void lookup(nb::object x, std::string_view x_type, int64_t cols, nb::object table, nb::object out, std::string_view out_type,
            std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_input(x, "x", x_type, "x_type", cols);
  const Output output = take_output(out, out_type, input.codes.rows, cols);
  const InArray keep = input_array(table, "table", {nb::dtype<int32_t>()}, 1);
  const int32_t* entries = take_table(keep, input.codes.type, output.codes.type);
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  check_apart(keep, "table", output.array);

  run_elementwise(input.codes.rows, cols, threads,
                  [&](int64_t begin, int64_t end) noexcept { kernels.lookup(input.codes, entries, output.codes, begin, end); });
}

}  // namespace degreequant
