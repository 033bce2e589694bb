#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "plan_object.h"

namespace degreequant {
namespace {

using namespace nb::literals;

constexpr int64_t kDistances = 256;        // between two logits of 8 bits
constexpr int64_t kMaxCentre = 1 << 15;    // twice the mean
constexpr int64_t kMaxElements = 1 << 30;  // of a set

// Added to the mean square, added to its root, and what is divided by.
using Constants = std::tuple<double, double, std::string_view>;

Divisor parse_divisor(std::string_view name) {
  if (name == "none") return Divisor::kNone;
  if (name == "deviation") return Divisor::kDeviation;
  if (name == "size") return Divisor::kSize;
  raise_value("divisor is '" + std::string(name) + "'; expected none, deviation or size");
}

StandardizationRule take_standardization(nb::object centre, const Constants& constants, int64_t channels, bool each) {
  const auto [inner, outer, divisor] = constants;
  const InArray shares = input_array(centre, "centre", {nb::dtype<int32_t>()}, 1);
  if (each && shares.shape(0) != 1) check_length(shares, channels, "centre");
  if (!each) check_length(shares, 1, "centre");
  const int32_t* values = data_of<int32_t>(shares);
  for (size_t i = 0; i < shares.shape(0); ++i) check_range(values[i], -kMaxCentre, kMaxCentre, "every entry of centre");
  const bool sound = std::isfinite(inner) && std::isfinite(outer) && inner >= 0 && outer >= 0;
  if (!sound) raise_value("expected inner and outer to be finite and at least 0");
  return {{values, values + shares.shape(0)}, inner, outer, parse_divisor(divisor)};
}

TensorId add_standardize_rows(PlanObject& plan, TensorId x, int64_t groups, nb::object centre, const Constants& constants,
                              const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  check_range(groups, 1, INT32_MAX, "groups");
  check_equal(from.cols % groups, 0, "the columns of x beyond a multiple of groups");
  check_range(from.cols, 1, kMaxElements, "the columns of x");
  check_requantize(requantize, from.cols, type);
  StandardizationRule rule = take_standardization(centre, constants, from.cols, false);
  const CodesAt y = plan.store_codes(plan.space_of(x), from.cols, type, requantize.clamp.zero_point);
  Outline outline{.reads = {own(x)}, .writes = y.id, .rows = plan.space_of(x), .row_work = 8 * from.cols};
  return plan.add(standardize_rows_step(from, groups, std::move(rule), requantize, y), std::move(outline));
}

// `graphs`: the form of a batch, or none where all rows of x are one graph.
TensorId add_standardize_graphs(PlanObject& plan, TensorId x, std::optional<EdgesId> batch, bool each_channel, nb::object centre,
                                const Constants& constants, const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  if (batch) {
    plan.check_edges(*batch);
    plan.plan().join(plan.plan().sources_of(*batch), plan.space_of(x));
  }
  check_requantize(requantize, from.cols, type);
  StandardizationRule rule = take_standardization(centre, constants, from.cols, each_channel);
  const CodesAt y = plan.store_codes(plan.space_of(x), from.cols, type, requantize.clamp.zero_point);
  const EdgesId graphs = batch.value_or(kNone);
  Outline outline{.reads = {gathered(x)},
                  .writes = y.id,
                  .rows = batch ? plan.plan().rows_of(graphs) : plan.plan().add_single(),
                  .edges = graphs,
                  .row_work = 8,
                  .edge_work = 8 * from.cols};
  return plan.add(standardize_graphs_step(from, graphs, each_channel, std::move(rule), requantize, y), std::move(outline));
}

// `sizes`: groups, rows of each matrix of a, what is summed over, columns of each matrix of b.
TensorId add_contract(PlanObject& plan, std::pair<TensorId, TensorId> tensors, std::tuple<int64_t, int64_t, int64_t, int64_t> sizes,
                      const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt a = plan.codes_at(tensors.first, "a");
  const CodesAt b = plan.codes_at(tensors.second, "b");
  const auto [groups, rows, inner, cols] = sizes;
  for (const int64_t size : {groups, rows, inner, cols}) check_range(size, 1, 1 << 15, "every one of sizes");
  check_equal(groups * rows * inner, a.cols, "the columns of a, by sizes");
  check_equal(groups * inner * cols, b.cols, "the columns of b, by sizes");
  check_range(groups * rows * cols, 1, INT32_MAX, "the columns of the result");
  check_requantize(requantize, groups * rows * cols, type);
  const CodesAt y = plan.store_codes(plan.space_of(a.id), groups * rows * cols, type, requantize.clamp.zero_point);
  Outline outline{.reads = {own(a.id), own(b.id)}, .writes = y.id, .rows = plan.space_of(a.id), .row_work = y.cols * (4 + inner)};
  return plan.add(contract_step(a, b, {groups, rows, inner, cols}, requantize, y), std::move(outline));
}

TensorId add_row_softmax(PlanObject& plan, TensorId logits, int64_t groups, nb::object table, const RequantizeObject& requantize,
                         std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(logits, "logits");
  if (from.type != CodeType::i8 && from.type != CodeType::u8) raise_value("expected logits to hold codes of i8 or u8");
  check_range(groups, 1, INT32_MAX, "groups");
  check_equal(from.cols % groups, 0, "the columns of logits beyond a multiple of groups");
  check_requantize(requantize, from.cols, type);
  const InArray weights = input_array(table, "table", {nb::dtype<int16_t>()}, 1);
  check_length(weights, kDistances, "table");
  const int16_t* values = data_of<int16_t>(weights);
  for (int64_t i = 0; i < kDistances; ++i) check_range(values[i], i == 0 ? 1 : 0, INT16_MAX, "every entry of table");
  const CodesAt y = plan.store_codes(plan.space_of(logits), from.cols, type, requantize.clamp.zero_point);
  Outline outline{.reads = {own(logits)}, .writes = y.id, .rows = plan.space_of(logits), .row_work = 8 * from.cols};
  return plan.add(row_softmax_step(from, groups, {values, values + kDistances}, requantize, y), std::move(outline));
}

TensorId add_largest(PlanObject& plan, TensorId x, int64_t outer, int64_t size) {
  const CodesAt from = plan.codes_at(x, "x");
  check_range(outer, 1, INT32_MAX, "outer");
  check_range(size, 1, INT32_MAX, "size");
  check_equal(from.cols % (outer * size), 0, "the columns of x beyond a multiple of outer times size");
  const CodesAt y = plan.store_codes(plan.space_of(x), from.cols / size, from.type, from.zero_point);
  Outline outline{.reads = {own(x)}, .writes = y.id, .rows = plan.space_of(x), .row_work = 2 * from.cols};
  return plan.add(largest_step(from, outer, size, y), std::move(outline));
}

}  // namespace

void bind_steps_rows(nb::class_<PlanObject>& plan) {
  plan.def("standardize_rows", &add_standardize_rows, "x"_a, "groups"_a, "centre"_a, "constants"_a, "requantize"_a, "code_type"_a)
      .def("standardize_graphs", &add_standardize_graphs, "x"_a, "graphs"_a.none(), "each_channel"_a, "centre"_a, "constants"_a,
           "requantize"_a, "code_type"_a)
      .def("contract", &add_contract, "tensors"_a, "sizes"_a, "requantize"_a, "code_type"_a)
      .def("row_softmax", &add_row_softmax, "logits"_a, "groups"_a, "table"_a, "requantize"_a, "code_type"_a)
      .def("largest", &add_largest, "x"_a, "outer"_a, "size"_a);
}

}  // namespace degreequant
