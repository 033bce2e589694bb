#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include <string>
#include <utility>

#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kDistances = 256;  // between two logits of 8 bits

TensorId add_gather(PlanObject& plan, TensorId x, EdgesId edges) {
  const CodesAt from = plan.codes_at(x, "x");
  plan.check_edges(edges);
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(x));
  plan.plan().join(plan.plan().rows_of(edges), plan.plan().ordered_of(edges));  // as many rows as edges: one source each
  const CodesAt y = plan.store_codes(plan.plan().rows_of(edges), from.cols, from.type, from.zero_point);
  Outline outline{.reads = {gathered(x)}, .writes = y.id, .rows = plan.plan().rows_of(edges), .row_work = 4 + 2 * from.cols};
  return plan.add(gather_step(from, edges, y), std::move(outline));
}

TensorId add_multiply(PlanObject& plan, std::pair<TensorId, TensorId> tensors, int64_t repeat, const RequantizeObject& requantize,
                      std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt a = plan.codes_at(tensors.first, "a");
  const CodesAt b = plan.codes_at(tensors.second, "b");
  check_range(repeat, 1, INT32_MAX, "repeat");
  check_equal(b.cols * repeat, a.cols, "the columns of b, each `repeat` times");
  check_requantize(requantize, a.cols, type);
  const CodesAt y = plan.store_codes(plan.space_of(a.id), a.cols, type, requantize.clamp.zero_point);
  Outline outline{.reads = {own(a.id), own(b.id)}, .writes = y.id, .rows = plan.space_of(a.id), .row_work = 4 * a.cols};
  return plan.add(multiply_step(plan.kernels(), a, b, repeat, requantize, y), std::move(outline));
}

TensorId add_softmax(PlanObject& plan, TensorId logits, EdgesId edges, nb::object table, const RequantizeObject& requantize,
                     std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(logits, "logits");
  if (from.type != CodeType::i8 && from.type != CodeType::u8) raise_value("expected logits to hold codes of i8 or u8");
  plan.check_edges(edges);
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(logits));
  check_requantize(requantize, from.cols, type);
  const InArray weights = input_array(table, "table", {nb::dtype<int16_t>()}, 1);
  check_length(weights, kDistances, "table");
  const int16_t* values = data_of<int16_t>(weights);
  for (int64_t i = 0; i < kDistances; ++i) check_range(values[i], i == 0 ? 1 : 0, INT16_MAX, "every entry of table");
  const CodesAt y = plan.store_codes(plan.plan().sources_of(edges), from.cols, type, requantize.clamp.zero_point);
  const Read read = plan.along(logits, edges);
  Outline outline{.reads = {read},
                  .writes = y.id,
                  .rows = plan.plan().rows_of(edges),
                  .edges = edges,
                  .row_work = 8,
                  .edge_work = 8 * from.cols,
                  .written = read.reach};
  return plan.add(softmax_step(plan.kernels(), from, edges, {values, values + weights.size()}, requantize, y), std::move(outline));
}

TensorId add_degree(PlanObject& plan, EdgesId edges, nb::object table, int32_t zero_point, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  plan.check_edges(edges);
  const InArray entries = input_array(table, "table", {nb::dtype<int32_t>()}, 1);
  check_range(static_cast<int64_t>(entries.shape(0)), 1, INT32_MAX, "the length of table");
  std::vector<int32_t> codes(data_of<int32_t>(entries), data_of<int32_t>(entries) + entries.size());
  const CodeRange allowed = code_range(type);
  for (const int32_t code : codes) check_range(code, allowed.low, allowed.high, "every entry of table");
  const CodesAt y = plan.store_codes(plan.plan().rows_of(edges), 1, type, zero_point);
  Outline outline{.reads = {}, .writes = y.id, .rows = plan.plan().rows_of(edges), .row_work = 16};
  return plan.add(degree_step(edges, std::move(codes), y), std::move(outline));
}

}  // namespace

void bind_steps_edges(nb::class_<PlanObject>& plan) {
  plan.def("gather", &add_gather, "x"_a, "edges"_a)
      .def("degree", &add_degree, "edges"_a, "table"_a, "zero_point"_a, "code_type"_a)
      .def("multiply", &add_multiply, "tensors"_a, "repeat"_a, "requantize"_a, "code_type"_a)
      .def("edge_softmax", &add_softmax, "logits"_a, "edges"_a, "table"_a, "requantize"_a, "code_type"_a);
}

}  // namespace degreequant
