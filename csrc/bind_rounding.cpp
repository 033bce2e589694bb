// The Python module of quantized training: checks every argument before any memory is touched, and releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include <cmath>

#include "arguments.h"
#include "dispatch.h"
#include "gil.h"
#include "parallel.h"
#include "rounding.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kMaxThreads = 1024;

// A matrix, its protected rows, and the arrays that own the memory.
struct Matrix {
  InArray array;
  InArray mask;
  Activation32 view;
};

Matrix take_matrix(nb::handle x, nb::handle is_protected) {
  Matrix matrix{input_array(x, "x", {nb::dtype<float>()}, 2), {}, {}};
  const auto rows = static_cast<int64_t>(matrix.array.shape(0));
  matrix.view = {data_of<float>(matrix.array), nullptr, rows, static_cast<int64_t>(matrix.array.shape(1))};
  if (!is_protected.is_none()) {
    matrix.mask = input_array(is_protected, "protected", {nb::dtype<bool>()}, 1);
    check_length(matrix.mask, rows, "protected");
    matrix.view.is_protected = data_of<bool>(matrix.mask);
  }
  return matrix;
}

void check_shape(const Matrix& matrix, int64_t rows, int64_t cols, const char* name) {
  check_equal(rows, matrix.view.rows, (std::string("the rows of ") + name).c_str());
  check_equal(cols, matrix.view.cols, (std::string("the columns of ") + name).c_str());
}

OutArray take_result(nb::handle out, const Matrix& x) {
  OutArray result = output_array(out, "out", {nb::dtype<float>()}, 2);
  check_shape(x, static_cast<int64_t>(result.shape(0)), static_cast<int64_t>(result.shape(1)), "out");
  check_apart(x.array, "x", result);
  return result;
}

const RoundingKernels& kernels_of(nb::handle isa) {
  const Kernels& table = isa.is_none() ? *available_kernels().back() : parse_isa(nb::cast<std::string_view>(isa));
  return rounding_kernels(table.name);
}

Work work_of(const Activation32& x, int64_t threads) {
  check_range(threads, 1, kMaxThreads, "threads");
  return {x.rows, x.rows * x.cols * static_cast<int64_t>(sizeof(float))};
}

void round_rows(nb::object x, nb::object is_protected, float scale, float low, float high, bool relu, nb::object out, int64_t threads,
                nb::object isa) {
  const Matrix matrix = take_matrix(x, is_protected);
  const OutArray result = take_result(out, matrix);
  if (!(scale > 0.0F && std::isfinite(scale))) raise_value("expected scale to be finite and above 0");
  if (!(low <= high && std::abs(low) < 0x1p22F && std::abs(high) < 0x1p22F)) raise_value("expected low <= high, both below 2^22");
  const RoundingKernels& kernels = kernels_of(isa);
  const RoundingGrid grid = {1.0F / scale, scale, low, high, relu};
  const Work work = work_of(matrix.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads, [&](int64_t begin, int64_t end) { kernels.round(matrix.view, grid, target, begin, end); });
}

void pass_gradient(nb::object gradient, nb::object x, nb::object is_protected, float low, float high, bool relu, nb::object out,
                   int64_t threads, nb::object isa) {
  const Matrix matrix = take_matrix(x, is_protected);
  const InArray arriving = input_array(gradient, "gradient", {nb::dtype<float>()}, 2);
  check_shape(matrix, static_cast<int64_t>(arriving.shape(0)), static_cast<int64_t>(arriving.shape(1)), "gradient");
  const OutArray result = take_result(out, matrix);
  check_apart(arriving, "gradient", result);
  const RoundingKernels& kernels = kernels_of(isa);
  const Work work = work_of(matrix.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads,
      [&](int64_t begin, int64_t end) { kernels.pass(matrix.view, data_of<float>(arriving), {low, high, relu}, target, begin, end); });
}

std::pair<float, float> percentiles(nb::object x, nb::object is_protected, int64_t start, int64_t step, double share, bool relu) {
  const Matrix matrix = take_matrix(x, is_protected);
  check_range(start, 0, INT64_MAX, "start");
  check_range(step, 1, INT64_MAX / 2, "step");
  if (!(share >= 0.0 && share < 1.0)) raise_value("expected share in [0, 1)");
  const Unlocked unlocked;
  return sample_percentiles(matrix.view, {start, step}, share, relu);
}

}  // namespace
}  // namespace degreequant

NB_MODULE(_rounding, m) {
  using namespace degreequant;
  wait_at_exit();
  m.doc() = "Rounding of activations in quantized training, on numpy arrays.";
  m.def("round_rows", &round_rows, "x"_a.none(), "protected"_a.none(), "scale"_a, "low"_a, "high"_a, "relu"_a, "out"_a.none(),
        "threads"_a = 1, "isa"_a = nb::none());
  m.def("pass_gradient", &pass_gradient, "gradient"_a.none(), "x"_a.none(), "protected"_a.none(), "low"_a, "high"_a, "relu"_a,
        "out"_a.none(), "threads"_a = 1, "isa"_a = nb::none());
  m.def("percentiles", &percentiles, "x"_a.none(), "protected"_a.none(), "start"_a, "step"_a, "share"_a, "relu"_a);
}
