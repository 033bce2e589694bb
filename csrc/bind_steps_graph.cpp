#include <nanobind/stl/string_view.h>

#include <optional>
#include <string>
#include <utility>

#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kMaxSelfCoefficient = (1 << 15) - 1;
constexpr int64_t kMaxEdgeShift = 12;
constexpr int64_t kDistances = 256;           // between two logits of one row
constexpr int64_t kDistancesWithEdges = 511;  // the same where edges have a part in them

// The outline of a step that gathers rows of `x` along the edges.
Outline along_edges(PlanObject& plan, TensorId x, EdgesId edges, TensorId writes, int64_t work) {
  return {.reads = {plan.along(x, edges)},
          .writes = writes,
          .rows = plan.plan().rows_of(edges),
          .edges = edges,
          .row_work = work,
          .edge_work = work};
}

// The number of a form whose sources are the rows of x.
void check_gathers(PlanObject& plan, TensorId x, EdgesId edges) {
  plan.check_edges(edges);
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(x));
}

TensorId add_aggregate(PlanObject& plan, TensorId x, EdgesId edges, int64_t self_coefficient, int64_t edge_shift,
                       const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  check_gathers(plan, x, edges);
  check_range(self_coefficient, -kMaxSelfCoefficient, kMaxSelfCoefficient, "self_coefficient");
  check_range(edge_shift, 0, kMaxEdgeShift, "edge_shift");
  check_requantize(requantize, from.cols, type);
  if (self_coefficient != 0 || edge_shift != 0) plan.plan().join(plan.plan().rows_of(edges), plan.plan().sources_of(edges));
  const CodesAt y = plan.store_codes(plan.plan().rows_of(edges), from.cols, type, requantize.clamp.zero_point);
  const SelfTerm self{static_cast<int32_t>(self_coefficient), static_cast<int32_t>(edge_shift)};
  return plan.add(aggregate_step(plan.kernels(), from, edges, self, requantize, y), along_edges(plan, x, edges, y.id, 1 + from.cols));
}

TensorId add_maximum(PlanObject& plan, TensorId x, EdgesId edges) {
  const CodesAt from = plan.codes_at(x, "x");
  check_gathers(plan, x, edges);
  const CodesAt y = plan.store_codes(plan.plan().rows_of(edges), from.cols, from.type, from.zero_point);
  return plan.add(maximum_step(plan.kernels(), from, edges, y), along_edges(plan, x, edges, y.id, 1 + from.cols));
}

CodesAt logits_at(PlanObject& plan, TensorId tensor, int64_t cols, const char* name) {
  const CodesAt at = plan.codes_at(tensor, name);
  if (at.type != CodeType::i8) raise_value("expected " + std::string(name) + " to hold codes of i8");
  check_equal(at.cols, cols, ("the number of columns of " + std::string(name)).c_str());
  return at;
}

TensorId add_attend(PlanObject& plan, TensorId x, TensorId logits, nb::object edge_logits, EdgesId edges, int64_t heads, int64_t slope,
                    nb::object table, bool average, const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  check_gathers(plan, x, edges);
  plan.plan().join(plan.plan().rows_of(edges), plan.plan().sources_of(edges));
  check_range(heads, 1, kMaxHeads, "heads");
  check_equal(from.cols % heads, 0, "the columns of x beyond a multiple of heads");
  check_range(slope, 0, 1 << 15, "slope");
  const int64_t cols = average ? from.cols / heads : from.cols;
  check_requantize(requantize, cols, type);
  const CodesAt nodes = logits_at(plan, logits, 2 * heads, "logits");
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(logits));
  std::optional<CodesAt> by_edge;
  if (!edge_logits.is_none()) by_edge = logits_at(plan, nb::cast<TensorId>(edge_logits), heads, "edge_logits");
  const CodesAt y = plan.store_codes(plan.plan().rows_of(edges), cols, type, requantize.clamp.zero_point);
  Outline outline = along_edges(plan, x, edges, y.id, 1 + from.cols + heads);
  outline.reads.push_back(gathered(logits));
  if (by_edge) {
    plan.plan().join(plan.plan().ordered_of(edges), plan.space_of(by_edge->id));
    outline.reads.push_back(gathered(by_edge->id));
  }
  const InArray weights = input_array(table, "table", {nb::dtype<int16_t>()}, 1);
  check_range(static_cast<int64_t>(weights.shape(0)), by_edge ? kDistancesWithEdges : kDistances, INT32_MAX, "the length of table");
  const int16_t* values = data_of<int16_t>(weights);
  AttentionRule attention{heads, static_cast<int32_t>(slope), {values, values + weights.size()}, average};
  for (const int16_t value : attention.table) check_range(value, 0, INT16_MAX, "every entry of table");
  return plan.add(attend_step(plan.kernels(), from, nodes, by_edge, edges, std::move(attention), requantize, y), std::move(outline));
}

// `loops`: "kept" where the graph's own self loops stay, "mean", or the codes of every loop.
TensorId add_order(PlanObject& plan, TensorId logits, EdgesId edges, nb::object loops) {
  const CodesAt from = plan.codes_at(logits, "logits");
  logits_at(plan, logits, from.cols, "logits");
  plan.check_edges(edges);
  plan.plan().join(plan.plan().listed_of(edges), plan.space_of(logits));
  LoopLogits kind = LoopLogits::constant;
  std::vector<int8_t> constant;
  if (nb::isinstance<nb::str>(loops)) {
    const auto word = nb::cast<std::string_view>(loops);
    if (word != "kept" && word != "mean") raise_value("expected loops to be kept, mean or codes, got '" + std::string(word) + "'");
    kind = word == "kept" ? LoopLogits::kept : LoopLogits::mean;
  } else {
    const InArray codes = input_array(loops, "loops", {nb::dtype<int8_t>()}, 1);
    check_length(codes, from.cols, "loops");
    constant.assign(data_of<int8_t>(codes), data_of<int8_t>(codes) + from.cols);
  }
  const CodesAt y = plan.store_codes(plan.plan().ordered_of(edges), from.cols, CodeType::i8, from.zero_point);
  return plan.add(order_step(from, edges, kind, std::move(constant), y), along_edges(plan, logits, edges, y.id, 2 * from.cols));
}

}  // namespace

void bind_steps_graph(nb::class_<PlanObject>& plan) {
  plan.def("aggregate", &add_aggregate, "x"_a, "edges"_a, "self_coefficient"_a, "edge_shift"_a, "requantize"_a, "code_type"_a)
      .def("maximum", &add_maximum, "x"_a, "edges"_a)
      .def("attend", &add_attend, "x"_a, "logits"_a, "edge_logits"_a.none(), "edges"_a, "heads"_a, "slope"_a, "table"_a, "average"_a,
           "requantize"_a, "code_type"_a)
      .def("order", &add_order, "logits"_a, "edges"_a, "loops"_a);
}

}  // namespace degreequant
