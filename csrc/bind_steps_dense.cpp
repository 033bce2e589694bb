#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "plan_object.h"
#include "rule.h"

namespace degreequant {
namespace {

using namespace nb::literals;

// The outline of a step that only needs its own rows of `reads`.
Outline row_by_row(PlanObject& plan, const std::vector<TensorId>& reads, TensorId writes, int64_t work) {
  Outline outline{.reads = {}, .writes = writes, .rows = plan.space_of(writes), .row_work = work};
  for (const TensorId tensor : reads) outline.reads.push_back(own(tensor));
  return outline;
}

Clamp checked_clamp(int32_t zero_point, int32_t q_min, int32_t q_max, CodeType type) {
  const Clamp clamp{zero_point, q_min, q_max};
  check_clamp(clamp);
  check_clamp_fits(clamp, type, "code_type");
  return clamp;
}

float checked_scale(double scale, const char* name) {
  const float value = static_cast<float>(scale);
  if (!(value > 0) || !std::isfinite(value)) {
    raise_value("expected " + std::string(name) + " to be a positive finite float32, got " + std::to_string(scale));
  }
  return value;
}

TensorId add_quantize(PlanObject& plan, std::string name, TensorId x, double inverse_scale, int32_t zero_point, int32_t q_min,
                      int32_t q_max, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const Clamp clamp = checked_clamp(zero_point, q_min, q_max, type);
  const float inverse = checked_scale(inverse_scale, "inverse_scale");
  const int64_t cols = plan.floats_at(x, "x");
  const CodesAt y = plan.store_codes(plan.space_of(x), cols, type, zero_point);
  Outline outline = row_by_row(plan, {x}, y.id, cols * static_cast<int64_t>(sizeof(float)));
  return plan.add(quantize_step(plan.kernels(), std::move(name), x, inverse, clamp, y), std::move(outline));
}

TensorId add_embedding(PlanObject& plan, std::string name, TensorId x, int64_t column, nb::object table, int64_t channels,
                       int32_t zero_point, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  check_range(column, 0, plan.categories_at(x, "x") - 1, "column");
  const InArray rows = input_codes(table, "table", type, channels);
  const uint8_t* bytes = data_of<uint8_t>(rows);
  const CodesAt y = plan.store_codes(plan.space_of(x), channels, type, zero_point);
  EmbeddingTable embedding{{bytes, bytes + rows.nbytes()}, static_cast<int64_t>(rows.shape(0)), column};
  return plan.add(embedding_step(std::move(name), x, std::move(embedding), y.id),
                  row_by_row(plan, {x}, y.id, 8 + row_bytes(type, channels)));
}

TensorId add_linear(PlanObject& plan, TensorId x, nb::object codes, const RequantizeObject& requantize, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  const InArray weights = input_array(codes, "codes", {nb::dtype<int8_t>()}, 2);
  const int64_t out = static_cast<int64_t>(weights.shape(0));
  check_equal(static_cast<int64_t>(weights.shape(1)), from.cols, "the number of inputs");
  check_range(from.cols, 0, kMaxInputs, "the number of inputs");
  check_requantize(requantize, out, type);
  const CodesAt y = plan.store_codes(plan.space_of(x), out, type, requantize.clamp.zero_point);
  auto weight = std::make_unique<PackedWeight>(data_of<int8_t>(weights), out, from.cols, max_distance(from.type, from.zero_point));
  return plan.add(linear_step(plan.kernels(), from, std::move(weight), requantize, y),
                  row_by_row(plan, {x}, y.id, (1 + from.cols) * (1 + out / kWeightBlock)));
}

TensorId add_concat(PlanObject& plan, const std::vector<TensorId>& xs, const nb::list& rules, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  check_range(static_cast<int64_t>(xs.size()), 1, INT32_MAX, "the number of tensors");
  check_equal(static_cast<int64_t>(rules.size()), static_cast<int64_t>(xs.size()), "the number of rules");
  std::vector<Piece> pieces;
  int64_t cols = 0;
  for (size_t i = 0; i < xs.size(); ++i) {
    pieces.push_back({plan.codes_at(xs[i], "x"), nb::cast<const RequantizeObject&>(rules[i])});
    check_requantize(pieces.back().rule, pieces.back().x.cols, type);
    cols += pieces.back().x.cols;
  }
  const CodesAt y = plan.store_codes(plan.space_of(xs[0]), cols, type, pieces[0].rule.clamp.zero_point);
  return plan.add(concat_step(plan.kernels(), std::move(pieces), y), row_by_row(plan, xs, y.id, 2 * cols));
}

TensorId add_add(PlanObject& plan, std::pair<TensorId, TensorId> tensors, std::pair<int64_t, int64_t> mantissas, int64_t shift,
                 nb::object addend, std::vector<int32_t> grid, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt a = plan.codes_at(tensors.first, "a");
  const CodesAt b = plan.codes_at(tensors.second, "b");
  check_equal(b.cols, a.cols, "the number of columns of b");
  check_range(mantissas.first, -kMaxMantissa, kMaxMantissa, "a_mantissa");
  check_range(mantissas.second, -kMaxMantissa, kMaxMantissa, "b_mantissa");
  check_equal(static_cast<int64_t>(grid.size()), 3, "the length of grid");
  const Clamp clamp = checked_clamp(grid[0], grid[1], grid[2], type);
  AdditionRule rule{static_cast<int32_t>(shift), {}, clamp};
  if (!addend.is_none()) {
    const InArray values = input_array(addend, "addend", {nb::dtype<int32_t>()}, 1);
    check_length(values, a.cols, "addend");
    rule.addend.assign(data_of<int32_t>(values), data_of<int32_t>(values) + a.cols);
    for (const int32_t value : rule.addend) check_range(value, -kMaxAddend, kMaxAddend, "addend");
  }
  const ShiftLimits limits = limits_of(clamp, rule.addend.data(), rule.addend.size());
  check_range(shift, limits.least, limits.most, "shift");
  const CodesAt y = plan.store_codes(plan.space_of(a.id), a.cols, type, grid[0]);
  const Term first{a, static_cast<int32_t>(mantissas.first)};
  const Term second{b, static_cast<int32_t>(mantissas.second)};
  return plan.add(add_step(plan.kernels(), first, second, std::move(rule), y), row_by_row(plan, {a.id, b.id}, y.id, 3 * a.cols));
}

TensorId add_lookup(PlanObject& plan, TensorId x, nb::object table, int32_t zero_point, std::string_view code_type) {
  const CodeType type = parse_code_type(code_type, "code_type");
  const CodesAt from = plan.codes_at(x, "x");
  const InArray entries = input_array(table, "table", {nb::dtype<int32_t>()}, 1);
  const CodeRange range = code_range(from.type);
  const CodeRange allowed = code_range(type);
  check_length(entries, range.high - range.low + 1, "table");
  std::vector<int32_t> values(data_of<int32_t>(entries), data_of<int32_t>(entries) + entries.size());
  for (const int32_t value : values) check_range(value, allowed.low, allowed.high, "every entry of table");
  const CodesAt y = plan.store_codes(plan.space_of(x), from.cols, type, zero_point);
  return plan.add(lookup_step(plan.kernels(), from, std::move(values), y), row_by_row(plan, {x}, y.id, 2 * from.cols));
}

}  // namespace

void bind_steps_dense(nb::class_<PlanObject>& plan) {
  plan.def("quantize", &add_quantize, "name"_a, "x"_a, "inverse_scale"_a, "zero_point"_a, "q_min"_a, "q_max"_a, "code_type"_a)
      .def("embedding", &add_embedding, "name"_a, "x"_a, "column"_a, "table"_a, "channels"_a, "zero_point"_a, "code_type"_a)
      .def("linear", &add_linear, "x"_a, "codes"_a, "requantize"_a, "code_type"_a)
      .def("concat", &add_concat, "xs"_a, "rules"_a, "code_type"_a)
      .def("add", &add_add, "tensors"_a, "mantissas"_a, "shift"_a, "addend"_a.none(), "grid"_a, "code_type"_a)
      .def("lookup", &add_lookup, "x"_a, "table"_a, "zero_point"_a, "code_type"_a);
}

}  // namespace degreequant
