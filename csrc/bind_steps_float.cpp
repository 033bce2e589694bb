#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <string>
#include <utility>

#include "float_arguments.h"
#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

FloatsAt floats(const PlanObject& plan, TensorId tensor, const char* name) { return {tensor, plan.floats_at(tensor, name)}; }

FloatsAt store(PlanObject& plan, SpaceId space, int64_t cols) { return {plan.store_floats(space, cols), cols}; }

// The outline of a step that only needs its own rows of `reads`.
Outline row_by_row(PlanObject& plan, const std::vector<TensorId>& reads, TensorId writes, int64_t work) {
  Outline outline{.reads = {}, .writes = writes, .rows = plan.space_of(writes), .row_work = work};
  for (const TensorId tensor : reads) outline.reads.push_back(own(tensor));
  return outline;
}

// The outline of a step that gathers rows of `x`, which are the sources of the form.
Outline along_edges(PlanObject& plan, TensorId x, EdgesId edges, TensorId writes, int64_t cols) {
  return {.reads = {gathered(x)},
          .writes = writes,
          .rows = plan.plan().rows_of(edges),
          .edges = edges,
          .row_work = 4 * (1 + cols),
          .edge_work = 4 * (1 + cols)};
}

void check_gathers(PlanObject& plan, TensorId x, EdgesId edges) {
  plan.check_edges(edges);
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(x));
}

TensorId add_float_input(PlanObject& plan, std::string name, TensorId x, bool copied) {
  const FloatsAt from = {x, plan.floats_at(x, "x")};
  const TensorId y = copied ? store(plan, plan.space_of(x), from.cols).id : kNone;
  Outline outline{.reads = {own(x)}, .writes = y, .rows = plan.space_of(x), .row_work = 8 * from.cols};
  plan.add(float_input_step(std::move(name), from, y), std::move(outline));
  return copied ? y : x;
}

TensorId add_float_embedding(PlanObject& plan, std::string name, TensorId x, int64_t column, nb::object table) {
  check_range(column, 0, plan.categories_at(x, "x") - 1, "column");
  const InArray rows = input_array(table, "table", {nb::dtype<float>()}, 2);
  const uint8_t* bytes = data_of<uint8_t>(rows);
  const FloatsAt y = store(plan, plan.space_of(x), static_cast<int64_t>(rows.shape(1)));
  EmbeddingTable embedding{{bytes, bytes + rows.nbytes()}, static_cast<int64_t>(rows.shape(0)), column};
  return plan.add(embedding_step(std::move(name), x, std::move(embedding), y.id), row_by_row(plan, {x}, y.id, 8 + 4 * y.cols));
}

TensorId add_float_linear(PlanObject& plan, TensorId x, nb::object weight, const FloatFinishObject& finish) {
  const FloatsAt from = floats(plan, x, "x");
  auto packed = std::make_unique<PackedFloatWeight>(make_float_weight(weight));
  check_equal(packed->in(), from.cols, "the number of inputs");
  check_finish(finish, packed->out());
  const FloatsAt y = store(plan, plan.space_of(x), packed->out());
  const int64_t work = 4 * (1 + from.cols) * (1 + y.cols / 16);
  return plan.add(float_linear_step(plan.kernels(), from, std::move(packed), finish, y), row_by_row(plan, {x}, y.id, work));
}

TensorId add_float_aggregate(PlanObject& plan, TensorId x, EdgesId edges, double self_coefficient, const FloatFinishObject& finish) {
  const FloatsAt from = floats(plan, x, "x");
  check_gathers(plan, x, edges);
  check_finish(finish, from.cols);
  const float own_coefficient = check_finite(self_coefficient, "self_coefficient");
  if (own_coefficient != 0.0F) plan.plan().join(plan.plan().rows_of(edges), plan.plan().sources_of(edges));
  const FloatsAt y = store(plan, plan.plan().rows_of(edges), from.cols);
  return plan.add(float_aggregate_step(plan.kernels(), from, edges, own_coefficient, finish, y),
                  along_edges(plan, x, edges, y.id, from.cols));
}

TensorId add_float_maximum(PlanObject& plan, TensorId x, EdgesId edges) {
  const FloatsAt from = floats(plan, x, "x");
  check_gathers(plan, x, edges);
  const FloatsAt y = store(plan, plan.plan().rows_of(edges), from.cols);
  return plan.add(float_maximum_step(plan.kernels(), from, edges, y), along_edges(plan, x, edges, y.id, from.cols));
}

TensorId add_float_attend(PlanObject& plan, TensorId x, TensorId logits, nb::object edge_logits, EdgesId edges, int64_t heads, double slope,
                          bool average, const FloatFinishObject& finish) {
  const FloatsAt from = floats(plan, x, "x");
  check_gathers(plan, x, edges);
  plan.plan().join(plan.plan().rows_of(edges), plan.plan().sources_of(edges));
  check_range(heads, 1, kMaxHeads, "heads");
  check_equal(from.cols % heads, 0, "the columns of x beyond a multiple of heads");
  const float slope_of = check_finite(slope, "slope");
  if (slope_of < 0.0F || slope_of > 1.0F) raise_value("expected slope in [0, 1], got " + std::to_string(slope));
  const int64_t cols = average ? from.cols / heads : from.cols;
  check_finish(finish, cols);
  check_equal(plan.floats_at(logits, "logits"), 2 * heads, "the number of columns of logits");
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(logits));
  const TensorId by_edge = edge_logits.is_none() ? kNone : nb::cast<TensorId>(edge_logits);
  const FloatsAt y = store(plan, plan.plan().rows_of(edges), cols);
  Outline outline = along_edges(plan, x, edges, y.id, from.cols + 4 * heads);
  outline.reads.push_back(gathered(logits));
  if (by_edge != kNone) {
    check_equal(plan.floats_at(by_edge, "edge_logits"), heads, "the number of columns of edge_logits");
    plan.plan().join(plan.plan().ordered_of(edges), plan.space_of(by_edge));
    outline.reads.push_back(gathered(by_edge));
  }
  return plan.add(float_attend_step(plan.kernels(), from, logits, by_edge, edges, {heads, slope_of, average}, finish, y),
                  std::move(outline));
}

// `loops`: "kept" where the graph's own self loops stay, "mean", or the logits of every loop.
TensorId add_float_order(PlanObject& plan, TensorId logits, EdgesId edges, nb::object loops) {
  const FloatsAt from = floats(plan, logits, "logits");
  plan.check_edges(edges);
  plan.plan().join(plan.plan().listed_of(edges), plan.space_of(logits));
  LoopLogits kind = LoopLogits::constant;
  std::vector<float> constant;
  if (nb::isinstance<nb::str>(loops)) {
    const auto word = nb::cast<std::string_view>(loops);
    if (word != "kept" && word != "mean") raise_value("expected loops to be kept, mean or logits, got '" + std::string(word) + "'");
    kind = word == "kept" ? LoopLogits::kept : LoopLogits::mean;
  } else {
    constant = *copy_of_floats(loops, "loops");
    check_equal(static_cast<int64_t>(constant.size()), from.cols, "the length of loops");
  }
  const FloatsAt y = store(plan, plan.plan().ordered_of(edges), from.cols);
  return plan.add(float_order_step(from, edges, kind, std::move(constant), y), along_edges(plan, logits, edges, y.id, 2 * from.cols));
}

TensorId add_float_concat(PlanObject& plan, const std::vector<TensorId>& pieces, const FloatFinishObject& finish) {
  if (pieces.empty()) raise_value("expected at least one piece");
  std::vector<FloatsAt> from;
  int64_t cols = 0;
  for (const TensorId piece : pieces) {
    from.push_back(floats(plan, piece, "pieces"));
    cols += from.back().cols;
    plan.plan().join(plan.space_of(pieces[0]), plan.space_of(piece));
    check_finish(finish, from.back().cols);
  }
  const FloatsAt y = store(plan, plan.space_of(pieces[0]), cols);
  return plan.add(float_concat_step(plan.kernels(), std::move(from), finish, y), row_by_row(plan, pieces, y.id, 8 * cols));
}

TensorId add_float_add(PlanObject& plan, TensorId a, TensorId b, const FloatFinishObject& finish) {
  const FloatsAt first = floats(plan, a, "a");
  const FloatsAt second = floats(plan, b, "b");
  check_equal(second.cols, first.cols, "the number of columns of b");
  plan.plan().join(plan.space_of(a), plan.space_of(b));
  check_finish(finish, first.cols);
  const FloatsAt y = store(plan, plan.space_of(a), first.cols);
  return plan.add(float_add_step(plan.kernels(), first, second, finish, y), row_by_row(plan, {a, b}, y.id, 12 * first.cols));
}

TensorId add_float_activate(PlanObject& plan, TensorId x, std::string_view activation, double a, double b) {
  const FloatFunction function{parse_activation(activation), check_finite(a, "a"), check_finite(b, "b")};
  const FloatsAt from = floats(plan, x, "x");
  const FloatsAt y = store(plan, plan.space_of(x), from.cols);
  return plan.add(float_activate_step(plan.kernels(), from, function, y), row_by_row(plan, {x}, y.id, 16 * from.cols));
}

TensorId add_dequantize(PlanObject& plan, TensorId x, double scale) {
  const CodesAt from = plan.codes_at(x, "x");
  const float value = check_finite(scale, "scale");
  if (!(value > 0)) raise_value("expected scale to be positive, got " + std::to_string(scale));
  const FloatsAt y = store(plan, plan.space_of(x), from.cols);
  return plan.add(dequantize_step(plan.kernels(), from, value, y), row_by_row(plan, {x}, y.id, 5 * from.cols));
}

template <StepPtr (*make)(const Kernels& kernels, FloatsAt x, FloatsAt y)>
TensorId add_epilogue(PlanObject& plan, TensorId x) {
  const FloatsAt from = floats(plan, x, "x");
  const FloatsAt y = store(plan, plan.space_of(x), from.cols);
  return plan.add(make(plan.kernels(), from, y), row_by_row(plan, {x}, y.id, 16 * y.cols));
}

}  // namespace

void bind_steps_float(nb::class_<PlanObject>& plan) {
  plan.def("float_input", &add_float_input, "name"_a, "x"_a, "copied"_a)
      .def("float_embedding", &add_float_embedding, "name"_a, "x"_a, "column"_a, "table"_a.none())
      .def("float_linear", &add_float_linear, "x"_a, "weight"_a.none(), "finish"_a)
      .def("float_aggregate", &add_float_aggregate, "x"_a, "edges"_a, "self_coefficient"_a, "finish"_a)
      .def("float_maximum", &add_float_maximum, "x"_a, "edges"_a)
      .def("float_attend", &add_float_attend, "x"_a, "logits"_a, "edge_logits"_a.none(), "edges"_a, "heads"_a, "slope"_a, "average"_a,
           "finish"_a)
      .def("float_order", &add_float_order, "logits"_a, "edges"_a, "loops"_a)
      .def("float_concat", &add_float_concat, "pieces"_a, "finish"_a)
      .def("float_add", &add_float_add, "a"_a, "b"_a, "finish"_a)
      .def("float_activate", &add_float_activate, "x"_a, "activation"_a, "a"_a, "b"_a)
      .def("dequantize", &add_dequantize, "x"_a, "scale"_a)
      .def("log_softmax", &add_epilogue<log_softmax_step>, "x"_a)
      .def("softmax", &add_epilogue<softmax_step>, "x"_a)
      .def("sigmoid", [](PlanObject& self, TensorId x) { return add_float_activate(self, x, "sigmoid", 0, 0); }, "x"_a);
}

}  // namespace degreequant
