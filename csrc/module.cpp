// The Python module: checks every argument before any memory is touched, releases the GIL and calls a table of kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arguments.h"
#include "csr.h"
#include "dispatch.h"
#include "from_real.h"
#include "gil.h"
#include "kernels.h"
#include "objects.h"
#include "operands.h"
#include "operations.h"
#include "operations_float.h"
#include "plan_object.h"
#include "weight.h"

namespace degreequant {
namespace {

using namespace nb::literals;

template <typename T>
std::vector<T> copy_of(const InArray& array) {
  const T* data = static_cast<const T*>(array.data());
  return std::vector<T>(data, data + array.size());
}

template <typename Index>
std::optional<BadEdge> build(const InArray& edge_index, int64_t nodes, int64_t sources, CsrOptions options, CsrArrays& arrays) {
  const int64_t edges = static_cast<int64_t>(edge_index.shape(1));
  const Index* source = data_of<Index>(edge_index);
  const Unlocked unlocked;
  return build_csr<Index>({source, source + edges, edges, nodes, sources}, options, arrays);
}

CsrObject make_csr(nb::object edge_index, int64_t num_nodes, std::string_view self_loops, bool edge_ids, int64_t threads,
                   std::optional<int64_t> num_sources) {
  const InArray edges = input_array(edge_index, "edge_index", {nb::dtype<int64_t>(), nb::dtype<int32_t>()}, 2);
  if (edges.shape(0) != 2) raise_value("expected edge_index of shape (2, edges), got " + std::to_string(edges.shape(0)) + " rows");
  check_range(static_cast<int64_t>(edges.shape(1)), 0, kMaxEdges, "the number of edges");
  check_range(num_nodes, 0, kMaxNodes, "num_nodes");
  if (self_loops != "keep" && self_loops != "replace") {
    raise_value("expected self_loops to be keep or replace, got '" + std::string(self_loops) + "'");
  }
  const int64_t sources = num_sources.value_or(num_nodes);
  check_range(sources, 0, kMaxNodes, "num_sources");
  if (self_loops == "replace") check_equal(sources, num_nodes, "num_sources, where self loops are replaced");
  check_threads(threads);
  const CsrOptions options = {self_loops == "keep" ? SelfLoops::keep : SelfLoops::replace, edge_ids, threads};
  CsrObject csr{{}, num_nodes, sources, edge_ids};
  const auto bad = edges.dtype() == nb::dtype<int32_t>() ? build<int32_t>(edges, num_nodes, sources, options, csr.arrays)
                                                         : build<int64_t>(edges, num_nodes, sources, options, csr.arrays);
  if (bad) {
    raise_value("expected node indices in [0, " + std::to_string(bad->endpoint == 0 ? sources : num_nodes) + "), got " +
                std::to_string(bad->value) + " at edge_index[" + std::to_string(bad->endpoint) + ", " + std::to_string(bad->position) +
                "]");
  }
  return csr;
}

template <typename Index>
std::optional<int64_t> build(const InArray& batch, int64_t num_graphs, CsrArrays& arrays) {
  const Index* numbers = data_of<Index>(batch);
  const Unlocked unlocked;
  return build_segments(numbers, static_cast<int64_t>(batch.shape(0)), num_graphs, arrays);
}

CsrObject segments(nb::object batch, int64_t num_graphs) {
  const InArray numbers = input_array(batch, "batch", {nb::dtype<int64_t>(), nb::dtype<int32_t>()}, 1);
  const int64_t nodes = static_cast<int64_t>(numbers.shape(0));
  check_range(nodes, 0, kMaxNodes, "the number of nodes");
  check_range(num_graphs, 0, kMaxNodes, "num_graphs");
  CsrObject csr{{}, num_graphs, nodes, false};
  const bool narrow = numbers.dtype() == nb::dtype<int32_t>();
  const auto bad = narrow ? build<int32_t>(numbers, num_graphs, csr.arrays) : build<int64_t>(numbers, num_graphs, csr.arrays);
  if (bad) {
    const int64_t value = narrow ? data_of<int32_t>(numbers)[*bad] : data_of<int64_t>(numbers)[*bad];
    raise_value("expected graph numbers in [0, " + std::to_string(num_graphs) + "), got " + std::to_string(value) + " at batch[" +
                std::to_string(*bad) + "]");
  }
  csr.in_order = true;
  for (int64_t node = 0; node < nodes && csr.in_order; ++node) csr.in_order = csr.arrays.indices.data()[node] == node;
  return csr;
}

// One row for each index, which is its only source.
CsrObject picks(nb::object indices, int64_t sources) {
  const InArray array = input_array(indices, "indices", {nb::dtype<int32_t>()}, 1);
  const int64_t rows = static_cast<int64_t>(array.shape(0));
  check_range(rows, 0, kMaxEdges, "the number of indices");
  check_range(sources, 0, kMaxNodes, "sources");
  CsrObject csr{{}, rows, sources, false};
  csr.arrays.indices.allocate(rows + kIndexPadding);
  const int32_t* from = data_of<int32_t>(array);
  std::copy(from, from + rows, csr.arrays.indices.data());
  for (int64_t row = 0; row < rows; ++row) check_range(csr.arrays.indices[row], 0, sources - 1, "every index");
  csr.arrays.indptr.resize(static_cast<size_t>(rows) + 1);
  std::iota(csr.arrays.indptr.begin(), csr.arrays.indptr.end(), int64_t{0});
  return csr;
}

PackedWeight make_weight(nb::object codes, int64_t max_input) {
  const InArray array = input_array(codes, "codes", {nb::dtype<int8_t>()}, 2);
  check_range(static_cast<int64_t>(array.shape(1)), 0, kMaxInputs, "the number of inputs");
  check_range(max_input, 0, 65535 + 32768, "max_input");
  return {data_of<int8_t>(array), static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1)), max_input};
}

RequantizeObject make_requantize(nb::object mantissa, nb::object shift, nb::object addend, int32_t zero_point, int32_t q_min,
                                 int32_t q_max) {
  const InArray mantissas = input_array(mantissa, "mantissa", {nb::dtype<int32_t>()}, 1);
  const InArray shifts = input_array(shift, "shift", {nb::dtype<int32_t>()}, 1);
  check_multipliers(mantissas, shifts, "mantissa", "shift");
  const Clamp clamp = {zero_point, q_min, q_max};
  check_clamp(clamp);
  std::vector<int32_t> addends;
  if (!addend.is_none()) addends = copy_of<int32_t>(input_array(addend, "addend", {nb::dtype<int32_t>()}, 1));
  for (const int32_t value : addends) check_range(value, -kMaxAddend, kMaxAddend, "addend");
  return {copy_of<int32_t>(mantissas), copy_of<int32_t>(shifts), std::move(addends), !addend.is_none(), clamp};
}

template <typename T>
nb::ndarray<nb::numpy, const T, nb::ndim<1>> view_of(const T* values, int64_t count) {
  return {values, {static_cast<size_t>(count)}};
}

nb::object edge_ids_of(nb::handle_t<CsrObject> self) {
  const CsrObject& csr = nb::cast<const CsrObject&>(self);
  if (!csr.has_edge_ids) return nb::none();
  return nb::cast(view_of(csr.arrays.edge_ids.data(), csr.edges()), nb::rv_policy::reference_internal, self);
}

}  // namespace
}  // namespace degreequant

NB_MODULE(_kernels, m) {
  using namespace degreequant;
  nb::set_leak_warnings(false);  // a graph or a weight that a global still holds when Python exits is no leak
  wait_at_exit();
  m.doc() = "Integer kernels: every argument is checked, every result is exact (docs/numerics.md).";

  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (const Kernels* table : available_kernels()) names.emplace_back(table->name);
    return names;
  });

  m.def(
      "from_real",
      [](double factor) {
        if (!std::isfinite(factor)) raise_value("expected factor to be finite, got " + std::to_string(factor));
        const Multiplier multiplier = from_real(factor);
        return std::pair(multiplier.mantissa, multiplier.shift);
      },
      "factor"_a);

  m.def(
      "gathered_stride",
      [](int64_t row_bytes) {
        check_range(row_bytes, 0, INT32_MAX, "row_bytes");
        return gathered_stride(row_bytes);
      },
      "row_bytes"_a);

  nb::class_<CsrObject>(m, "Csr")
      .def(nb::new_(&make_csr), "edge_index"_a.none(), "num_nodes"_a, "self_loops"_a, "edge_ids"_a, "threads"_a = 1,
           "num_sources"_a = nb::none())
      .def_prop_ro(
          "indptr", [](const CsrObject& csr) { return view_of(csr.arrays.indptr.data(), csr.rows + 1); }, nb::rv_policy::reference_internal)
      .def_prop_ro(
          "indices", [](const CsrObject& csr) { return view_of(csr.arrays.indices.data(), csr.edges()); },
          nb::rv_policy::reference_internal)
      .def_prop_ro("edge_ids", &edge_ids_of)
      .def_ro("rows", &CsrObject::rows)
      .def_ro("sources", &CsrObject::sources)
      .def_prop_ro("num_edges", &CsrObject::edges);

  m.def("segments", &segments, "batch"_a.none(), "num_graphs"_a);
  m.def("picks", &picks, "indices"_a.none(), "sources"_a);

  nb::class_<PackedWeight>(m, "Weight")
      .def(nb::new_(&make_weight), "codes"_a.none(), "max_input"_a)
      .def_prop_ro("out", &PackedWeight::out)
      .def_prop_ro("in_", &PackedWeight::in)
      .def_prop_ro("wide", &PackedWeight::wide);

  nb::class_<RequantizeObject>(m, "Requantize")
      .def(nb::new_(&make_requantize), "mantissa"_a.none(), "shift"_a.none(), "addend"_a.none(), "zero_point"_a, "q_min"_a, "q_max"_a);

  m.def("quantize", &quantize, "x"_a.none(), "inverse_scale"_a, "zero_point"_a, "q_min"_a, "q_max"_a, "out"_a.none(), "code_type"_a,
        "isa"_a, "threads"_a);
  m.def("linear", &linear, "x"_a.none(), "x_type"_a, "cols"_a, "zero_point"_a, "weight"_a, "requantize"_a, "out"_a.none(), "out_type"_a,
        "isa"_a, "threads"_a, "row_mantissa"_a = nb::none(), "row_shift"_a = nb::none());
  m.def("aggregate", &aggregate, "x"_a.none(), "x_type"_a, "cols"_a, "zero_point"_a, "csr"_a, "coefficient"_a.none(), "self_coefficient"_a,
        "edge_shift"_a, "requantize"_a, "row_mantissa"_a.none(), "row_shift"_a.none(), "out"_a.none(), "out_type"_a, "isa"_a, "threads"_a);
  m.def("maximum", &maximum, "x"_a.none(), "x_type"_a, "cols"_a, "csr"_a, "empty"_a, "out"_a.none(), "isa"_a, "threads"_a);
  m.def("attend", &attend, "x"_a.none(), "x_type"_a, "cols"_a, "csr"_a, "logits"_a.none(), "edge_logits"_a.none(), "heads"_a, "slope"_a,
        "table"_a.none(), "average"_a, "requantize"_a, "out"_a.none(), "out_type"_a, "isa"_a, "threads"_a);
  m.def("add", &add, "a"_a.none(), "a_type"_a, "a_zero"_a, "b"_a.none(), "b_type"_a, "b_zero"_a, "cols"_a, "a_mantissa"_a, "b_mantissa"_a,
        "shift"_a, "addend"_a.none(), "zero_point"_a, "q_min"_a, "q_max"_a, "out"_a.none(), "out_type"_a, "isa"_a, "threads"_a);
  m.def("rescale", &rescale, "x"_a.none(), "x_type"_a, "cols"_a, "zero_point"_a, "requantize"_a, "out"_a.none(), "out_type"_a, "out_cols"_a,
        "offset"_a, "isa"_a, "threads"_a);
  m.def("lookup", &lookup, "x"_a.none(), "x_type"_a, "cols"_a, "table"_a.none(), "out"_a.none(), "out_type"_a, "isa"_a, "threads"_a);

  bind_floats(m);
  bind_plan(m);
}
