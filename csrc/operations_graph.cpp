#include <string>

#include "gil.h"
#include "operations.h"
#include "parallel.h"

namespace degreequant {
namespace {

constexpr int64_t kMaxSelfCoefficient = (1 << 15) - 1;
constexpr int64_t kMaxEdgeShift = 12;
constexpr int64_t kDistances = 256;           // between two logits of one row
constexpr int64_t kDistancesWithEdges = 511;  // the same where edges have a part in them

// Calls body(begin, end) on blocks of rows with about as many edges each.
template <typename Body>
void run_by_edges(const CsrObject& csr, int64_t cols, int64_t threads, const Body& body) {
  const Unlocked unlocked;
  run({csr.rows, (csr.edges() + csr.rows) * (1 + cols), csr.arrays.indptr.data()}, threads, body);
}

// The gathered matrix has a row for each source of the graph.
Input take_sources(nb::handle x, std::string_view x_type, int64_t cols, const CsrObject& csr) {
  Input input = take_input(x, "x", x_type, "x_type", cols);
  check_equal(input.codes.rows, csr.sources, "the number of rows of x");
  return input;
}

void check_self_term(int64_t self_coefficient, int64_t edge_shift, bool weighted, const CsrObject& csr) {
  check_range(self_coefficient, -kMaxSelfCoefficient, kMaxSelfCoefficient, "self_coefficient");
  check_range(edge_shift, 0, kMaxEdgeShift, "edge_shift");
  if (self_coefficient == 0 && edge_shift == 0) return;
  if (weighted) raise_value("expected no coefficients of edges beside self_coefficient and edge_shift");
  if (csr.rows != csr.sources) {
    raise_value("expected a csr with as many rows as sources for self_coefficient and edge_shift, got " + std::to_string(csr.rows) +
                " rows and " + std::to_string(csr.sources) + " sources");
  }
}

// A matrix of logits, apart from `out`.
Input take_logits(nb::handle object, const char* name, int64_t rows, int64_t cols, const Output& out) {
  Input input = take_input(object, name, "i8", name, cols);
  check_equal(input.codes.rows, rows, ("the number of rows of " + std::string(name)).c_str());
  check_apart(input.array, name, out.array);
  return input;
}

// Weights of the distances that the logits may have, none negative.
InArray take_weights(nb::handle object, int64_t distances, const Output& out) {
  InArray array = input_array(object, "table", {nb::dtype<int16_t>()}, 1);
  check_range(static_cast<int64_t>(array.shape(0)), distances, INT32_MAX, "the length of table");
  const int16_t* weights = data_of<int16_t>(array);
  for (size_t i = 0; i < array.shape(0); ++i) check_range(weights[i], 0, INT16_MAX, "every entry of table");
  check_apart(array, "table", out.array);
  return array;
}

void check_heads(int64_t heads, int64_t cols, const CsrObject& csr) {
  check_range(heads, 1, kMaxHeads, "heads");
  if (cols % heads != 0) {
    raise_value("expected cols to be a multiple of heads, got " + std::to_string(cols) + " cols and " + std::to_string(heads) + " heads");
  }
  if (csr.rows != csr.sources) {
    raise_value("expected a csr with as many rows as sources, got " + std::to_string(csr.rows) + " rows and " +
                std::to_string(csr.sources) + " sources");
  }
}

}  // namespace

void aggregate(nb::object x, std::string_view x_type, int64_t cols, int32_t zero_point, const CsrObject& csr, nb::object coefficient,
               int64_t self_coefficient, int64_t edge_shift, const RequantizeObject& requantize, nb::object row_mantissa,
               nb::object row_shift, nb::object out, std::string_view out_type, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_sources(x, x_type, cols, csr);
  const Output output = take_output(out, out_type, csr.rows, cols);
  check_zero_point(zero_point, input.codes.type, "zero_point");
  check_requantize(requantize, cols, output.codes.type);
  const RowMultipliers per_row = row_multipliers(row_mantissa, row_shift, csr.rows, output.array);
  check_threads(threads);
  check_apart(input.array, "x", output.array);

  InArray keep;
  const int16_t* per_edge = optional_data<int16_t>(coefficient, "coefficient", csr.edges(), output.array, keep);
  check_self_term(self_coefficient, edge_shift, per_edge != nullptr, csr);

  const NeighbourSum sum = {
      input.codes, csr.view(), zero_point, per_edge, static_cast<int32_t>(self_coefficient), static_cast<int32_t>(edge_shift)};
  const Requantize rule = requantize.view(per_row.view);
  run_by_edges(csr, cols, threads, [&](int64_t begin, int64_t end) noexcept { kernels.aggregate(sum, rule, output.codes, begin, end); });
}

void maximum(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, int32_t empty, nb::object out, std::string_view isa,
             int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_sources(x, x_type, cols, csr);
  const Output output = take_output(out, x_type, csr.rows, cols);
  check_zero_point(empty, input.codes.type, "empty");
  check_threads(threads);
  check_apart(input.array, "x", output.array);

  const Csr graph = csr.view();
  run_by_edges(csr, cols, threads,
               [&](int64_t begin, int64_t end) noexcept { kernels.maximum(input.codes, graph, empty, output.codes, begin, end); });
}

void attend(nb::object x, std::string_view x_type, int64_t cols, const CsrObject& csr, nb::object logits, nb::object edge_logits,
            int64_t heads, int64_t slope, nb::object table, bool average, const RequantizeObject& requantize, nb::object out,
            std::string_view out_type, std::string_view isa, int64_t threads) {
  const Kernels& kernels = parse_isa(isa);
  const Input input = take_sources(x, x_type, cols, csr);
  check_heads(heads, cols, csr);
  check_range(slope, 0, 1 << 15, "slope");
  const int64_t out_cols = average ? cols / heads : cols;
  const Output output = take_output(out, out_type, csr.rows, out_cols);
  check_requantize(requantize, out_cols, output.codes.type);
  check_threads(threads);
  check_apart(input.array, "x", output.array);

  const bool with_edges = !edge_logits.is_none();
  const Input nodes = take_logits(logits, "logits", csr.sources, 2 * heads, output);
  const Input edges = with_edges ? take_logits(edge_logits, "edge_logits", csr.edges(), heads, output) : Input{};
  const InArray weights = take_weights(table, with_edges ? kDistancesWithEdges : kDistances, output);

  const Attention attention = {
      input.codes, csr.view(), nodes.codes, edges.codes, heads, static_cast<int32_t>(slope), data_of<int16_t>(weights), average};
  const Requantize rule = requantize.view({nullptr, nullptr, 0});
  run_by_edges(csr, cols + heads, threads,
               [&](int64_t begin, int64_t end) noexcept { kernels.attend(attention, rule, output.codes, begin, end); });
}

}  // namespace degreequant
