#include "operations_float.h"

#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "finite.h"
#include "float_arguments.h"
#include "gil.h"
#include "operands.h"
#include "parallel.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kScanFloats = 4096;

// A matrix of floats that a kernel reads or writes, and the array that owns its memory.
struct FloatInput {
  InArray array;
  Floats values;
};
struct FloatOutput {
  OutArray array;
  MutableFloats values;
};

FloatInput take(nb::handle object, const char* name) {
  InArray array = input_array(object, name, {nb::dtype<float>()}, 2);
  const Floats values = {data_of<float>(array), static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1))};
  return {std::move(array), values};
}

FloatInput take(nb::handle object, const char* name, int64_t rows, int64_t cols) {
  FloatInput input = take(object, name);
  check_equal(input.values.rows, rows, ("the number of rows of " + std::string(name)).c_str());
  check_equal(input.values.cols, cols, ("the number of columns of " + std::string(name)).c_str());
  return input;
}

FloatOutput take_out(nb::handle object, int64_t rows, int64_t cols) {
  OutArray array = output_array(object, "out", {nb::dtype<float>()}, 2);
  check_equal(static_cast<int64_t>(array.shape(0)), rows, "the number of rows of out");
  check_equal(static_cast<int64_t>(array.shape(1)), cols, "the number of columns of out");
  const MutableFloats values = {static_cast<float*>(array.data()), rows, cols};
  return {std::move(array), values};
}

template <typename Body>
void run_rows(int64_t rows, int64_t units, int64_t threads, const Body& body) {
  const Unlocked unlocked;
  run({rows, rows * units}, threads, body);
}

template <typename Body>
void run_edges(const CsrObject& csr, int64_t cols, int64_t threads, const Body& body) {
  const Unlocked unlocked;
  run({csr.rows, (csr.edges() + csr.rows) * 4 * (1 + cols), csr.arrays.indptr.data()}, threads, body);
}

void check_square(const CsrObject& csr, const char* reason) {
  if (csr.rows != csr.sources) {
    raise_value("expected a csr with as many rows as sources" + std::string(reason) + ", got " + std::to_string(csr.rows) + " rows and " +
                std::to_string(csr.sources) + " sources");
  }
}

}  // namespace

int64_t first_nonfinite(nb::object x, int64_t threads) {
  const FloatInput input = take(x, "x");
  check_threads(threads);
  const int64_t count = input.values.rows * input.values.cols;
  const Unlocked unlocked;
  std::mutex mutex;
  int64_t first = count;
  run({count, count * int64_t{sizeof(float)}}, threads, [&](int64_t begin, int64_t end) noexcept {
    for (int64_t at = begin; at < end; at += kScanFloats) {
      const int64_t length = std::min(kScanFloats, end - at);
      const int64_t bad = find_nonfinite(input.values.data + at, length);
      if (bad < length) {
        const std::lock_guard lock(mutex);
        first = std::min(first, at + bad);
        return;
      }
    }
  });
  return first < count ? first : -1;
}

void float_linear(nb::object x, const PackedFloatWeight& weight, const FloatFinishObject& finish, nb::object out, std::string_view isa,
                  int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput input = take(x, "x");
  check_equal(input.values.cols, weight.in(), "the number of columns of x");
  const FloatOutput output = take_out(out, input.values.rows, weight.out());
  check_finish(finish, weight.out());
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  const FloatFinish rule = finish.view();
  const FloatWeight view = weight.view();
  run_rows(input.values.rows, (1 + weight.in()) * (1 + weight.out() / 4), threads,
           [&](int64_t begin, int64_t end) noexcept { kernels.floats->linear(input.values, view, rule, output.values, begin, end); });
}

void float_aggregate(nb::object x, const CsrObject& csr, nb::object source_coefficient, nb::object edge_coefficient, nb::object row_factor,
                     double self_coefficient, const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput input = take(x, "x");
  check_equal(input.values.rows, csr.sources, "the number of rows of x");
  const FloatOutput output = take_out(out, csr.rows, input.values.cols);
  check_finish(finish, input.values.cols);
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  InArray keep_source, keep_edge, keep_row;
  const float* per_source = optional_data<float>(source_coefficient, "source_coefficient", csr.sources, output.array, keep_source);
  const float* per_edge = optional_data<float>(edge_coefficient, "edge_coefficient", csr.edges(), output.array, keep_edge);
  const float* per_row = optional_data<float>(row_factor, "row_factor", csr.rows, output.array, keep_row);
  if (per_source != nullptr && per_edge != nullptr) raise_value("expected source_coefficient or edge_coefficient, got both");
  const float own = check_finite(self_coefficient, "self_coefficient");
  if (own != 0.0F) check_square(csr, " for self_coefficient");
  const FloatSum sum = {input.values, csr.view(), per_source, per_edge, per_row, own};
  const FloatFinish rule = finish.view();
  run_edges(csr, input.values.cols, threads,
            [&](int64_t begin, int64_t end) noexcept { kernels.floats->aggregate(sum, rule, output.values, begin, end); });
}

void float_maximum(nb::object x, const CsrObject& csr, nb::object out, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput input = take(x, "x");
  check_equal(input.values.rows, csr.sources, "the number of rows of x");
  const FloatOutput output = take_out(out, csr.rows, input.values.cols);
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  const Csr graph = csr.view();
  run_edges(csr, input.values.cols, threads,
            [&](int64_t begin, int64_t end) noexcept { kernels.floats->maximum(input.values, graph, output.values, begin, end); });
}

void float_attend(nb::object x, const CsrObject& csr, nb::object logits, nb::object edge_logits, int64_t heads, double slope, bool average,
                  const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput input = take(x, "x");
  const int64_t cols = input.values.cols;
  check_equal(input.values.rows, csr.sources, "the number of rows of x");
  check_range(heads, 1, kMaxHeads, "heads");
  if (cols % heads != 0) {
    raise_value("expected the columns of x to be a multiple of heads, got " + std::to_string(cols) + " columns and " +
                std::to_string(heads) + " heads");
  }
  check_square(csr, "");
  const float slope_of = check_finite(slope, "slope");
  if (slope_of < 0.0F || slope_of > 1.0F) raise_value("expected slope in [0, 1], got " + std::to_string(slope));
  const int64_t out_cols = average ? cols / heads : cols;
  const FloatOutput output = take_out(out, csr.rows, out_cols);
  check_finish(finish, out_cols);
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  const FloatInput nodes = take(logits, "logits", csr.sources, 2 * heads);
  check_apart(nodes.array, "logits", output.array);
  FloatInput edges = {};
  if (!edge_logits.is_none()) {
    edges = take(edge_logits, "edge_logits", csr.edges(), heads);
    check_apart(edges.array, "edge_logits", output.array);
  }
  const std::vector<int32_t> head_of_column = heads_of_columns(cols, heads);
  const FloatAttention attention = {input.values,          csr.view(), nodes.values.data, edges.values.data,
                                    head_of_column.data(), heads,      slope_of,          average};
  const FloatFinish rule = finish.view();
  run_edges(csr, cols + 4 * heads, threads,
            [&](int64_t begin, int64_t end) noexcept { kernels.floats->attend(attention, rule, output.values, begin, end); });
}

void float_rescale(nb::object x, const FloatFinishObject& finish, nb::object out, int64_t offset, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput input = take(x, "x");
  const OutArray array = output_array(out, "out", {nb::dtype<float>()}, 2);
  const int64_t out_cols = static_cast<int64_t>(array.shape(1));
  const FloatOutput output = take_out(out, input.values.rows, out_cols);
  check_range(offset, 0, out_cols, "offset");
  check_range(input.values.cols, 0, out_cols - offset, "the number of columns of x");
  check_finish(finish, input.values.cols);
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  const FloatFinish rule = finish.view();
  run_rows(input.values.rows, 4 * (1 + input.values.cols), threads,
           [&](int64_t begin, int64_t end) noexcept { kernels.floats->rescale(input.values, rule, output.values, offset, begin, end); });
}

void float_add(nb::object a, nb::object b, const FloatFinishObject& finish, nb::object out, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const FloatInput first = take(a, "a");
  const FloatInput second = take(b, "b", first.values.rows, first.values.cols);
  const FloatOutput output = take_out(out, first.values.rows, first.values.cols);
  check_finish(finish, first.values.cols);
  check_threads(threads);
  check_apart(first.array, "a", output.array);
  check_apart(second.array, "b", output.array);
  const FloatFinish rule = finish.view();
  run_rows(first.values.rows, 8 * (1 + first.values.cols), threads,
           [&](int64_t begin, int64_t end) noexcept { kernels.floats->add(first.values, second.values, rule, output.values, begin, end); });
}

void float_activate(nb::object x, std::string_view activation, double a, double b, nb::object out, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Activation function = parse_activation(activation);
  const FloatInput input = take(x, "x");
  const FloatOutput output = take_out(out, input.values.rows, input.values.cols);
  const float first = check_finite(a, "a");
  const float second = check_finite(b, "b");
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  run_rows(input.values.rows, 8 * (1 + input.values.cols), threads, [&](int64_t begin, int64_t end) noexcept {
    kernels.floats->activate(input.values, function, first, second, output.values, begin, end);
  });
}

void dequantize(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, double scale, nb::object out, std::string_view isa,
                int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_input(x, "x", x_type, "x_type", cols);
  const FloatOutput output = take_out(out, input.codes.rows, cols);
  check_zero_point(zero_point, input.codes.type, "zero_point");
  const float step = check_finite(scale, "scale");
  check_threads(threads);
  check_apart(input.array, "x", output.array);
  run_rows(input.codes.rows, 4 * (1 + cols), threads, [&](int64_t begin, int64_t end) noexcept {
    kernels.floats->dequantize(input.codes, zero_point, step, output.values, begin, end);
  });
}

void bind_floats(nb::module_& m) {
  nb::class_<PackedFloatWeight>(m, "FloatWeight")
      .def(nb::new_(&make_float_weight), "weight"_a.none())
      .def_prop_ro("out", &PackedFloatWeight::out)
      .def_prop_ro("in_", &PackedFloatWeight::in);
  nb::class_<FloatFinishObject>(m, "FloatFinish").def(nb::new_(&make_float_finish), "scale"_a.none(), "bias"_a.none(), "relu"_a);

  m.def("first_nonfinite", &first_nonfinite, "x"_a.none(), "threads"_a);
  m.def("float_linear", &float_linear, "x"_a.none(), "weight"_a, "finish"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("float_aggregate", &float_aggregate, "x"_a.none(), "csr"_a, "source_coefficient"_a.none(), "edge_coefficient"_a.none(),
        "row_factor"_a.none(), "self_coefficient"_a, "finish"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("float_maximum", &float_maximum, "x"_a.none(), "csr"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("float_attend", &float_attend, "x"_a.none(), "csr"_a, "logits"_a.none(), "edge_logits"_a.none(), "heads"_a, "slope"_a, "average"_a,
        "finish"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("float_rescale", &float_rescale, "x"_a.none(), "finish"_a, "out"_a.none(), "offset"_a, "isa"_a, "threads"_a);
  m.def("float_add", &float_add, "a"_a.none(), "b"_a.none(), "finish"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("float_activate", &float_activate, "x"_a.none(), "activation"_a, "a"_a, "b"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("dequantize", &dequantize, "x"_a.none(), "x_type"_a, "cols"_a, "zero_point"_a, "scale"_a, "out"_a.none(), "isa"_a, "threads"_a);
}

}  // namespace degreequant
