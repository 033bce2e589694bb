#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "from_real.h"
#include "gil.h"
#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kEmptyGraphs = 1 << 20;  // more graphs without nodes are taken for a mistake: each takes room in the result

const char* storage_name(CodeType type) {
  switch (type) {
    case CodeType::i8:
      return "int8";
    case CodeType::i16:
      return "int16";
    case CodeType::u16:
      return "uint16";
    default:
      return "uint8";
  }
}

// Elements of a stored row.
int64_t storage_width(CodeType type, int64_t cols) { return type == CodeType::i4 || type == CodeType::u4 ? (cols + 1) / 2 : cols; }

// An optional array of `length` elements, which `edges` keeps alive.
template <typename T>
const T* optional_values(nb::handle object, const char* name, int64_t length, EdgesObject& edges) {
  if (object.is_none()) return nullptr;
  edges.arrays.push_back(input_array(object, name, {nb::dtype<T>()}, 1));
  check_length(edges.arrays.back(), length, name);
  return data_of<T>(edges.arrays.back());
}

void check_ids(const CsrObject& csr, int64_t listed) {
  for (const int64_t id : csr.arrays.edge_ids) check_range(id, -1, listed - 1, "every edge id");
}

// All nodes as one graph.
int64_t one_graph(int64_t nodes, CsrArrays& csr) {
  csr.indptr = {0, nodes};
  csr.indices.allocate(nodes + kIndexPadding);
  std::iota(csr.indices.data(), csr.indices.data() + nodes, 0);
  return 1;
}

// The number of graphs is the largest number plus one.
int64_t several_graphs(nb::handle batch, int64_t nodes, CsrArrays& csr) {
  const InArray array = input_array(batch, "batch", {nb::dtype<int64_t>()}, 1);
  check_length(array, nodes, "batch");
  const int64_t* numbers = data_of<int64_t>(array);
  const int64_t largest = nodes == 0 ? -1 : *std::max_element(numbers, numbers + nodes);
  const int64_t limit = nodes + kEmptyGraphs;
  if (largest >= limit) {
    raise_value("expected graph numbers that count from 0, below " + std::to_string(limit) + " for " + std::to_string(nodes) +
                " nodes, got " + std::to_string(largest));
  }
  const int64_t graphs = std::max<int64_t>(0, largest + 1);
  const auto bad = build_segments(numbers, nodes, graphs, csr);
  if (bad)
    raise_value("expected graph numbers that count from 0, got " + std::to_string(numbers[*bad]) + " at node " + std::to_string(*bad));
  return graphs;
}

}  // namespace

EdgesObject make_edges(nb::object csr, nb::object listed, nb::object coefficient, nb::object row_mantissa, nb::object row_shift,
                       nb::object source_factor, nb::object edge_factor, nb::object row_factor) {
  const CsrObject& graph = nb::cast<const CsrObject&>(csr);
  EdgesObject edges;
  edges.csr = csr;
  Edges& view = edges.view;
  view.csr = graph.view();
  view.count = graph.edges();
  view.in_order = graph.in_order;
  view.coefficient = optional_values<int16_t>(coefficient, "coefficient", graph.edges(), edges);
  if (row_mantissa.is_none() != row_shift.is_none()) raise_value("expected row_mantissa and row_shift together, got one of them");
  if (!row_mantissa.is_none()) {
    const int32_t* mantissa = optional_values<int32_t>(row_mantissa, "row_mantissa", graph.rows, edges);
    const int32_t* shift = optional_values<int32_t>(row_shift, "row_shift", graph.rows, edges);
    check_multipliers(edges.arrays[edges.arrays.size() - 2], edges.arrays.back(), "row_mantissa", "row_shift");
    view.row = {mantissa, shift, graph.rows};
  }
  if (!listed.is_none()) {
    if (!graph.has_edge_ids) raise_value("expected a csr with edge ids beside listed");
    view.listed = nb::cast<int64_t>(listed);
    check_ids(graph, view.listed);
    view.ids = graph.arrays.edge_ids.data();
  }
  view.source_factor = optional_values<float>(source_factor, "source_factor", graph.sources, edges);
  view.edge_factor = optional_values<float>(edge_factor, "edge_factor", graph.edges(), edges);
  view.row_factor = optional_values<float>(row_factor, "row_factor", graph.rows, edges);
  return edges;
}

EdgesObject make_batch_edges(nb::object batch, int64_t nodes, bool mean) {
  EdgesObject edges;
  check_range(nodes, 0, kMaxNodes, "nodes");
  const int64_t graphs = batch.is_none() ? one_graph(nodes, edges.nodes) : several_graphs(batch, nodes, edges.nodes);
  edges.view.csr = {edges.nodes.indptr.data(), edges.nodes.indices.data(), graphs, nodes};
  edges.view.count = nodes;
  for (int64_t row = 0; mean && row < graphs; ++row) {
    const int64_t count = edges.nodes.indptr[row + 1] - edges.nodes.indptr[row];
    const Multiplier each = from_real(count == 0 ? 0.0 : 1.0 / static_cast<double>(count));
    edges.mantissa.push_back(each.mantissa);
    edges.shift.push_back(each.shift);
    edges.factor.push_back(count == 0 ? 0.0F : 1.0F / static_cast<float>(count));
  }
  if (mean) {
    edges.view.row = {edges.mantissa.data(), edges.shift.data(), graphs};
    edges.view.row_factor = edges.factor.data();
  }
  return edges;
}

PlanObject::PlanObject(std::string_view isa, int64_t threads) : kernels_(parse_isa(isa)), plan_(threads) {
  check_threads(threads);
  empty_ = nb::module_::import_("numpy").attr("empty");
}

Plan& PlanObject::plan() {
  if (finished_) raise_value("expected a plan that is not finished");
  return plan_;
}

TensorId PlanObject::note(TensorId tensor, Kind kind, int64_t cols) {
  check_range(cols, 1, INT32_MAX, "channels");
  contents_.push_back({kind, {tensor, cols, CodeType::i8, 0}});
  return tensor;
}

TensorId PlanObject::features(SpaceId space, int64_t channels) { return note(plan().add_input(space), Kind::floats, channels); }

TensorId PlanObject::categories(SpaceId space, int64_t columns) { return note(plan().add_input(space), Kind::categories, columns); }

EdgesId PlanObject::edges(SpaceId rows, SpaceId sources, bool in_order) { return plan().add_edges(rows, sources, in_order); }

void PlanObject::finish(TensorId output) {
  floats_at(output, "output");
  plan().finish(output);
  finished_ = true;
}

const PlanObject::Content& PlanObject::content(TensorId tensor, Kind kind, const char* name) const {
  check_range(tensor, 0, static_cast<int64_t>(contents_.size()) - 1, name);
  if (contents_[tensor].kind != kind) raise_value("expected " + std::string(name) + " to be a tensor of another kind");
  return contents_[tensor];
}

CodesAt PlanObject::codes_at(TensorId tensor, const char* name) const { return content(tensor, Kind::codes, name).at; }

int64_t PlanObject::floats_at(TensorId tensor, const char* name) const { return content(tensor, Kind::floats, name).at.cols; }

int64_t PlanObject::categories_at(TensorId tensor, const char* name) const { return content(tensor, Kind::categories, name).at.cols; }

void PlanObject::check_edges(EdgesId edges) const { check_range(edges, 0, static_cast<int64_t>(plan_.edges_count()) - 1, "edges"); }

CodesAt PlanObject::store_codes(SpaceId space, int64_t cols, CodeType type, int32_t zero_point) {
  check_range(cols, 1, INT32_MAX, "channels");
  check_zero_point(zero_point, type, "zero_point");
  contents_.push_back({Kind::codes, {plan().add_tensor(space, row_bytes(type, cols), true), cols, type, zero_point}});
  return contents_.back().at;
}

TensorId PlanObject::store_floats(SpaceId space, int64_t cols) {
  return note(plan().add_tensor(space, cols * static_cast<int64_t>(sizeof(float)), false), Kind::floats, cols);
}

TensorId PlanObject::add(StepPtr step, Outline outline) {
  const TensorId stored = outline.writes;
  plan().add_step(std::move(step), std::move(outline));
  return stored;
}

Call PlanObject::start(const nb::list& inputs, const nb::list& edges, std::vector<InArray>& keep) const {
  if (!finished_) raise_value("expected a finished plan");
  std::vector<Bound> bound;
  for (const Content& tensor : contents_) {
    if (!plan_.is_input(tensor.at.id)) continue;
    if (bound.size() == inputs.size()) raise_value("expected more inputs than " + std::to_string(inputs.size()));
    const bool floats = tensor.kind == Kind::floats;
    InArray array = input_array(inputs[bound.size()], "an input", {floats ? nb::dtype<float>() : nb::dtype<int64_t>()}, 2);
    const int64_t columns = static_cast<int64_t>(array.shape(1));
    check_range(columns, tensor.at.cols, floats ? tensor.at.cols : INT32_MAX, "the number of columns of an input");
    uint8_t* data = static_cast<uint8_t*>(const_cast<void*>(array.data()));  // a step only reads what it does not write
    bound.push_back({data, static_cast<int64_t>(array.shape(0)), columns * static_cast<int64_t>(array.itemsize())});
    keep.push_back(std::move(array));
  }
  check_equal(static_cast<int64_t>(edges.size()), static_cast<int64_t>(plan_.edges_count()), "the number of edges");
  std::vector<Edges> forms;
  for (const nb::handle form : edges) forms.push_back(nb::cast<const EdgesObject&>(form).view);
  return plan_.start(bound, std::move(forms));
}

namespace {

nb::slice first_of(int64_t count) { return {Py_ssize_t{0}, static_cast<Py_ssize_t>(count), Py_ssize_t{1}}; }

}  // namespace

nb::object PlanObject::new_matrix(const Bound& bound, const Content& content, Bound& place) const {
  const bool floats = content.kind == Kind::floats;
  const int64_t width = floats ? content.at.cols : storage_width(content.at.type, content.at.cols);
  const int64_t size = floats ? 4 : row_bytes(content.at.type, 2) / storage_width(content.at.type, 2);
  const int64_t spaced = std::max(width, bound.stride / size);  // rows lie as far apart as the plan wants
  nb::object matrix = empty_(nb::make_tuple(bound.rows, spaced), floats ? "float32" : storage_name(content.at.type));
  const OutArray array = nb::cast<OutArray>(matrix);
  place.data = static_cast<uint8_t*>(array.data());
  place.stride = spaced * static_cast<int64_t>(array.itemsize());
  return spaced == width ? matrix : nb::object(matrix[nb::make_tuple(first_of(bound.rows), first_of(width))]);
}

nb::object PlanObject::run(nb::list inputs, nb::list edges, nb::object out) const {
  std::vector<InArray> keep;
  Call call = start(inputs, edges, keep);
  Bound& output = call.tensors[plan_.output()];
  const Content& content = contents_[plan_.output()];
  nb::object result = out;
  if (out.is_none()) {
    result = new_matrix(output, content, output);
  } else {
    const OutArray array = output_array(out, "out", {nb::dtype<float>()}, 2);
    check_equal(static_cast<int64_t>(array.shape(0)), output.rows, "the number of rows of out");
    check_equal(static_cast<int64_t>(array.shape(1)), content.at.cols, "the number of columns of out");
    for (const InArray& input : keep) check_apart(input, "an input", array);
    output.data = static_cast<uint8_t*>(array.data());
    output.stride = content.at.cols * static_cast<int64_t>(sizeof(float));
  }
  const Unlocked unlocked;
  plan_.run(call);
  return result;
}

nb::list PlanObject::codes(nb::list inputs, nb::list edges, const std::vector<TensorId>& wanted) const {
  std::vector<InArray> keep;
  Call call = start(inputs, edges, keep);
  nb::list result;
  for (const TensorId tensor : wanted) {
    const CodesAt at = codes_at(tensor, "wanted");
    result.append(new_matrix(call.tensors[at.id], contents_[tensor], call.tensors[at.id]));
  }
  const Unlocked unlocked;
  plan_.run(call);
  return result;
}

template <typename T>
nb::object vector_or_none(nb::handle self, const T* values, int64_t count) {
  if (values == nullptr) return nb::none();
  const nb::ndarray<nb::numpy, const T, nb::ndim<1>> view(values, {static_cast<size_t>(count)}, self);
  return nb::cast(view);
}

void bind_edges(nb::module_& m) {
  using Self = nb::handle_t<EdgesObject>;
  const auto view = [](Self self) -> const Edges& { return nb::cast<const EdgesObject&>(self).view; };
  nb::class_<EdgesObject>(m, "Edges")
      .def(nb::new_(&make_edges), "csr"_a, "listed"_a = nb::none(), "coefficient"_a = nb::none(), "row_mantissa"_a = nb::none(),
           "row_shift"_a = nb::none(), "source_factor"_a = nb::none(), "edge_factor"_a = nb::none(), "row_factor"_a = nb::none())
      .def_static("of_batch", &make_batch_edges, "batch"_a.none(), "nodes"_a, "mean"_a)
      .def_ro("csr", &EdgesObject::csr)
      .def_prop_ro("rows", [](const EdgesObject& self) { return self.view.csr.rows; })
      .def_prop_ro("num_edges", [](const EdgesObject& self) { return self.view.count; })
      .def_prop_ro("coefficient", [=](Self self) { return vector_or_none(self, view(self).coefficient, view(self).count); })
      .def_prop_ro("row_mantissa", [=](Self self) { return vector_or_none(self, view(self).row.mantissa, view(self).row.count); })
      .def_prop_ro("row_shift", [=](Self self) { return vector_or_none(self, view(self).row.shift, view(self).row.count); })
      .def_prop_ro("source_factor", [=](Self self) { return vector_or_none(self, view(self).source_factor, view(self).csr.sources); })
      .def_prop_ro("edge_factor", [=](Self self) { return vector_or_none(self, view(self).edge_factor, view(self).count); })
      .def_prop_ro("row_factor", [=](Self self) { return vector_or_none(self, view(self).row_factor, view(self).csr.rows); });
}

void bind_plan(nb::module_& m) {
  bind_edges(m);
  nb::class_<PlanObject> plan(m, "Plan");
  plan.def(nb::init<std::string_view, int64_t>(), "isa"_a, "threads"_a)
      .def_prop_ro("isa", [](const PlanObject& self) { return std::string_view(self.kernels().name); })
      .def("space", &PlanObject::space)
      .def("space_of", &PlanObject::space_of, "tensor"_a)
      .def("features", &PlanObject::features, "space"_a, "channels"_a)
      .def("categories", &PlanObject::categories, "space"_a, "columns"_a)
      .def("edges", &PlanObject::edges, "rows"_a, "sources"_a, "in_order"_a = false)
      .def("finish", &PlanObject::finish, "output"_a)
      .def("run", &PlanObject::run, "inputs"_a, "edges"_a, "out"_a = nb::none())
      .def("codes", &PlanObject::codes, "inputs"_a, "edges"_a, "wanted"_a);
  bind_steps_dense(plan);
  bind_steps_graph(plan);
  bind_steps_edges(plan);
  bind_steps_rows(plan);
  bind_steps_float(plan);
}

}  // namespace degreequant
