// The Python module of quantized training: checks every argument before any memory is touched, and releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "dispatch.h"
#include "edge_sums.h"
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

std::string_view name_of(nb::handle isa) {
  return (isa.is_none() ? *available_kernels().back() : parse_isa(nb::cast<std::string_view>(isa))).name;
}

Work work_of(const Activation32& x, int64_t threads) {
  check_range(threads, 1, kMaxThreads, "threads");
  return {x.rows, x.rows * x.cols * static_cast<int64_t>(sizeof(float))};
}

void check_steps(float low, float high) {
  if (!(low <= high && std::abs(low) < 0x1p22F && std::abs(high) < 0x1p22F)) raise_value("expected low <= high, both below 2^22");
}

void round_rows(nb::object x, nb::object is_protected, float scale, float low, float high, bool relu, nb::object out, int64_t threads,
                nb::object isa) {
  const Matrix matrix = take_matrix(x, is_protected);
  const OutArray result = take_result(out, matrix);
  if (!(scale > 0.0F && std::isfinite(scale))) raise_value("expected scale to be finite and above 0");
  check_steps(low, high);
  const RoundingKernels& kernels = rounding_kernels(name_of(isa));
  const RoundingGrid grid = {1.0F / scale, scale, low, high, relu};
  const Work work = work_of(matrix.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads, [&](int64_t begin, int64_t end) { kernels.round(matrix.view, grid, target, begin, end); });
}

void round_channels(nb::object x, nb::object scale, float low, float high, nb::object out, int64_t threads, nb::object isa) {
  const Matrix matrix = take_matrix(x, nb::none());
  const InArray scales = input_array(scale, "scale", {nb::dtype<float>()}, 1);
  check_length(scales, matrix.view.rows, "scale");
  const OutArray result = take_result(out, matrix);
  check_apart(scales, "scale", result);
  check_steps(low, high);
  const RoundingKernels& kernels = rounding_kernels(name_of(isa));
  const Work work = work_of(matrix.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads,
      [&](int64_t begin, int64_t end) { kernels.round_channels(matrix.view, data_of<float>(scales), {low, high}, target, begin, end); });
}

void pass_gradient(nb::object gradient, nb::object x, nb::object is_protected, float low, float high, bool relu, nb::object out,
                   int64_t threads, nb::object isa) {
  const Matrix matrix = take_matrix(x, is_protected);
  const InArray arriving = input_array(gradient, "gradient", {nb::dtype<float>()}, 2);
  check_shape(matrix, static_cast<int64_t>(arriving.shape(0)), static_cast<int64_t>(arriving.shape(1)), "gradient");
  const OutArray result = take_result(out, matrix);
  check_apart(arriving, "gradient", result);
  const RoundingKernels& kernels = rounding_kernels(name_of(isa));
  const Work work = work_of(matrix.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads,
      [&](int64_t begin, int64_t end) { kernels.pass(matrix.view, data_of<float>(arriving), {low, high, relu}, target, begin, end); });
}

Sample sample_of(int64_t start, int64_t step) {
  check_range(start, 0, INT64_MAX, "start");
  check_range(step, 1, INT64_MAX / 2, "step");
  return {start, step};
}

void check_share(double share) {
  if (!(share >= 0.0 && share < 1.0)) raise_value("expected share in [0, 1)");
}

std::pair<float, float> percentiles(nb::object x, nb::object is_protected, int64_t start, int64_t step, double share, bool relu) {
  const Matrix matrix = take_matrix(x, is_protected);
  const Sample sample = sample_of(start, step);
  check_share(share);
  const Unlocked unlocked;
  return sample_percentiles(matrix.view, sample, share, relu);
}

void observe(nb::object ends, nb::object x, nb::object is_protected, int64_t start, int64_t step, double share, float momentum, bool relu) {
  const OutArray range = output_array(ends, "ends", {nb::dtype<float>()}, 1);
  check_equal(static_cast<int64_t>(range.shape(0)), 2, "the length of ends");
  const Matrix matrix = take_matrix(x, is_protected);
  check_apart(matrix.array, "x", range);
  const Sample sample = sample_of(start, step);
  check_share(share);
  if (!(momentum >= 0.0F && momentum <= 1.0F)) raise_value("expected momentum in [0, 1]");
  const Unlocked unlocked;
  include_range(sample_percentiles(matrix.view, sample, share, relu), momentum, static_cast<float*>(range.data()));
}

// Rows of heads, and the array that owns the memory.
struct Heads {
  InArray array;
  HeadRows view;
  int64_t rows;
};

Heads take_heads(nb::handle x, const char* name) {
  InArray array = input_array(x, name, {nb::dtype<float>()}, 3);
  const auto size = [&](size_t dim) { return static_cast<int64_t>(array.shape(dim)); };
  return {array, {data_of<float>(array), size(1), size(2)}, size(0)};
}

// Edges by row, and the arrays that own the memory.
struct Edges {
  InArray begins;
  InArray others;
  InArray edges;
  EdgesByRow view;
  int64_t rows;
  int64_t count;
};

void check_all_below(const InArray& array, int64_t end, const char* name) {
  const int64_t* values = data_of<int64_t>(array);
  const auto in_range = [end](int64_t value) { return value >= 0 && value < end; };
  if (!std::all_of(values, values + array.shape(0), in_range)) {
    raise_value("expected " + std::string(name) + " within [0, " + std::to_string(end) + ")");
  }
}

Edges take_edges(nb::handle begins, nb::handle others, nb::handle edges, int64_t other_rows) {
  Edges result{input_array(begins, "begins", {nb::dtype<int64_t>()}, 1),
               input_array(others, "others", {nb::dtype<int64_t>()}, 1),
               input_array(edges, "edges", {nb::dtype<int64_t>()}, 1),
               {},
               {},
               {}};
  result.view = {data_of<int64_t>(result.begins), data_of<int64_t>(result.others), data_of<int64_t>(result.edges)};
  result.rows = static_cast<int64_t>(result.begins.shape(0)) - 1;
  result.count = static_cast<int64_t>(result.others.shape(0));
  check_length(result.edges, result.count, "edges");
  if (result.rows < 0) raise_value("expected begins with a number for each row and one more");
  const int64_t* first = result.view.begins;
  if (first[0] != 0 || first[result.rows] != result.count || !std::is_sorted(first, first + result.rows + 1)) {
    raise_value("expected begins to rise from 0 to the number of edges");
  }
  check_all_below(result.others, other_rows, "others");
  check_all_below(result.edges, result.count, "edges");
  return result;
}

void check_edges_apart(const Edges& edges, const OutArray& out) {
  check_apart(edges.begins, "begins", out);
  check_apart(edges.others, "others", out);
  check_apart(edges.edges, "edges", out);
}

Work work_of(const Edges& edges, const HeadRows& x, int64_t threads) {
  check_range(threads, 1, kMaxThreads, "threads");
  return {edges.rows, edges.count * x.heads * x.channels * static_cast<int64_t>(sizeof(float)), edges.view.begins};
}

void sum_by_row(nb::object x, nb::object weight, nb::object begins, nb::object others, nb::object edges, nb::object out, int64_t threads,
                nb::object isa) {
  const Heads rows = take_heads(x, "x");
  const Edges at = take_edges(begins, others, edges, rows.rows);
  const InArray weights = input_array(weight, "weight", {nb::dtype<float>()}, 2);
  check_length(weights, at.count, "weight");
  check_equal(static_cast<int64_t>(weights.shape(1)), rows.view.heads, "the columns of weight");
  const OutArray result = output_array(out, "out", {nb::dtype<float>()}, 3);
  check_equal(static_cast<int64_t>(result.shape(0)), at.rows, "the rows of out");
  check_equal(static_cast<int64_t>(result.shape(1)), rows.view.heads, "the heads of out");
  check_equal(static_cast<int64_t>(result.shape(2)), rows.view.channels, "the channels of out");
  check_apart(rows.array, "x", result);
  check_apart(weights, "weight", result);
  check_edges_apart(at, result);
  const EdgeSumKernels& kernels = edge_sum_kernels(name_of(isa));
  const Work work = work_of(at, rows.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads, [&](int64_t begin, int64_t end) { kernels.sum(rows.view, data_of<float>(weights), at.view, target, begin, end); });
}

void dot_by_edge(nb::object x, nb::object y, nb::object begins, nb::object others, nb::object edges, nb::object out, int64_t threads,
                 nb::object isa) {
  const Heads there = take_heads(x, "x");
  const Heads here = take_heads(y, "y");
  const Edges at = take_edges(begins, others, edges, there.rows);
  check_equal(here.rows, at.rows, "the rows of y");
  check_equal(here.view.heads, there.view.heads, "the heads of y");
  check_equal(here.view.channels, there.view.channels, "the channels of y");
  const OutArray result = output_array(out, "out", {nb::dtype<float>()}, 2);
  check_equal(static_cast<int64_t>(result.shape(0)), at.count, "the rows of out");
  check_equal(static_cast<int64_t>(result.shape(1)), there.view.heads, "the columns of out");
  check_apart(there.array, "x", result);
  check_apart(here.array, "y", result);
  check_edges_apart(at, result);
  const EdgeSumKernels& kernels = edge_sum_kernels(name_of(isa));
  const Work work = work_of(at, there.view, threads);
  float* target = static_cast<float*>(result.data());
  const Unlocked unlocked;
  run(work, threads, [&](int64_t begin, int64_t end) { kernels.dot(there.view, here.view, at.view, target, begin, end); });
}

}  // namespace
}  // namespace degreequant

NB_MODULE(_training, m) {
  using namespace degreequant;
  wait_at_exit();
  m.doc() = "What a CPU does in each step of quantized training, on numpy arrays.";
  m.def("round_rows", &round_rows, "x"_a.none(), "protected"_a.none(), "scale"_a, "low"_a, "high"_a, "relu"_a, "out"_a.none(),
        "threads"_a = 1, "isa"_a = nb::none());
  m.def("pass_gradient", &pass_gradient, "gradient"_a.none(), "x"_a.none(), "protected"_a.none(), "low"_a, "high"_a, "relu"_a,
        "out"_a.none(), "threads"_a = 1, "isa"_a = nb::none());
  m.def("percentiles", &percentiles, "x"_a.none(), "protected"_a.none(), "start"_a, "step"_a, "share"_a, "relu"_a);
  m.def("round_channels", &round_channels, "x"_a.none(), "scale"_a.none(), "low"_a, "high"_a, "out"_a.none(), "threads"_a = 1,
        "isa"_a = nb::none());
  m.def("observe", &observe, "ends"_a.none(), "x"_a.none(), "protected"_a.none(), "start"_a, "step"_a, "share"_a, "momentum"_a, "relu"_a);
  m.def("sum_by_row", &sum_by_row, "x"_a.none(), "weight"_a.none(), "begins"_a.none(), "others"_a.none(), "edges"_a.none(), "out"_a.none(),
        "threads"_a = 1, "isa"_a = nb::none());
  m.def("dot_by_edge", &dot_by_edge, "x"_a.none(), "y"_a.none(), "begins"_a.none(), "others"_a.none(), "edges"_a.none(), "out"_a.none(),
        "threads"_a = 1, "isa"_a = nb::none());
}
