#include <nanobind/stl/string.h>

#include <string>
#include <utility>

#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

std::vector<float> copy_of(const InArray& array) {
  const float* data = data_of<float>(array);
  return {data, data + array.size()};
}

std::vector<float> optional_bias(nb::handle bias, int64_t channels) {
  if (bias.is_none()) return {};
  const InArray values = input_array(bias, "bias", {nb::dtype<float>()}, 1);
  check_length(values, channels, "bias");
  return copy_of(values);
}

Outline row_by_row(PlanObject& plan, TensorId x, TensorId y, int64_t work) {
  return {.reads = {own(x)}, .writes = y, .rows = plan.space_of(y), .row_work = work};
}

TensorId add_float_input(PlanObject& plan, std::string name, TensorId x) {
  const int64_t cols = plan.floats_at(x, "x");
  const TensorId y = plan.store_floats(plan.space_of(x), cols);
  return plan.add(float_input_step(std::move(name), x, cols, y), row_by_row(plan, x, y, 8 * cols));
}

TensorId add_float_linear(PlanObject& plan, TensorId x, nb::object weight, nb::object bias) {
  const int64_t cols = plan.floats_at(x, "x");
  const InArray values = input_array(weight, "weight", {nb::dtype<float>()}, 2);
  check_equal(static_cast<int64_t>(values.shape(1)), cols, "the number of inputs");
  const int64_t out = static_cast<int64_t>(values.shape(0));
  const TensorId y = plan.store_floats(plan.space_of(x), out);
  FloatWeight layer{copy_of(values), optional_bias(bias, out), out, cols};
  return plan.add(float_linear_step(x, std::move(layer), y), row_by_row(plan, x, y, 4 * (1 + cols) * (1 + out / 4)));
}

TensorId add_float_aggregate(PlanObject& plan, TensorId x, EdgesId edges, nb::object bias) {
  const int64_t cols = plan.floats_at(x, "x");
  plan.check_edges(edges);
  plan.plan().join(plan.plan().sources_of(edges), plan.space_of(x));
  const SpaceId rows = plan.plan().rows_of(edges);
  const TensorId y = plan.store_floats(rows, cols);
  Outline outline{.reads = {gathered(x)}, .writes = y, .rows = rows, .edges = edges, .row_work = 4 * cols, .edge_work = 4 * cols};
  return plan.add(float_aggregate_step(x, cols, edges, optional_bias(bias, cols), y), std::move(outline));
}

TensorId add_float_relu(PlanObject& plan, TensorId x) {
  const int64_t cols = plan.floats_at(x, "x");
  const TensorId y = plan.store_floats(plan.space_of(x), cols);
  return plan.add(float_relu_step(x, cols, y), row_by_row(plan, x, y, 8 * cols));
}

}  // namespace

void bind_steps_float(nb::class_<PlanObject>& plan) {
  plan.def("float_input", &add_float_input, "name"_a, "x"_a)
      .def("float_linear", &add_float_linear, "x"_a, "weight"_a, "bias"_a.none())
      .def("float_aggregate", &add_float_aggregate, "x"_a, "edges"_a, "bias"_a.none())
      .def("float_relu", &add_float_relu, "x"_a);
}

}  // namespace degreequant
