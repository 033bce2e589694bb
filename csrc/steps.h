// The steps of the operations: each function makes one (step.h). Everything is checked before; `y` is where a step stores.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "float_weight.h"
#include "objects.h"
#include "row_kernels.h"
#include "step.h"
#include "weight.h"

namespace degreequant {

using StepPtr = std::unique_ptr<Step>;

// -- row by row (steps_dense.cpp); `name` is what errors call the input

StepPtr quantize_step(const Kernels& kernels, std::string name, TensorId x, float inverse_scale, Clamp clamp, CodesAt y);

// Rows in their stored form, one for each category, and the column of the input that chooses among them.
struct EmbeddingTable {
  std::vector<uint8_t> rows;
  int64_t categories;
  int64_t column;

  int64_t row_bytes() const { return categories == 0 ? 0 : static_cast<int64_t>(rows.size()) / categories; }
  const uint8_t* row(int64_t category) const { return rows.data() + category * row_bytes(); }
};
// Of codes or floats: rows are copied.
StepPtr embedding_step(std::string name, TensorId x, EmbeddingTable table, TensorId y);

StepPtr linear_step(const Kernels& kernels, CodesAt x, std::unique_ptr<PackedWeight> weight, RequantizeObject rule, CodesAt y);

struct Piece {
  CodesAt x;
  RequantizeObject rule;
};
StepPtr concat_step(const Kernels& kernels, std::vector<Piece> pieces, CodesAt y);

struct Term {
  CodesAt x;
  int32_t mantissa;
};
struct AdditionRule {
  int32_t shift;
  std::vector<int32_t> addend;  // of each channel, or empty
  Clamp clamp;
};
StepPtr add_step(const Kernels& kernels, Term a, Term b, AdditionRule rule, CodesAt y);

// `table` has an entry for each code that the storage of x can hold.
StepPtr lookup_step(const Kernels& kernels, CodesAt x, std::vector<int32_t> table, CodesAt y);

// -- along the edges (steps_graph.cpp)

struct SelfTerm {
  int32_t coefficient;
  int32_t edge_shift;
};
StepPtr aggregate_step(const Kernels& kernels, CodesAt x, EdgesId edges, SelfTerm self, RequantizeObject rule, CodesAt y);

StepPtr maximum_step(const Kernels& kernels, CodesAt x, EdgesId edges, CodesAt y);

struct AttentionRule {
  int64_t heads;
  int32_t slope;
  std::vector<int16_t> table;
  bool average;
};
// `edge_logits` is kNone, or a tensor in the order of the csr.
StepPtr attend_step(const Kernels& kernels, CodesAt x, CodesAt logits, std::optional<CodesAt> edge_logits, EdgesId edges,
                    AttentionRule attention, RequantizeObject rule, CodesAt y);

// What the last edge of each row gets from `order_step`.
enum class LoopLogits : uint8_t { kept, constant, mean };
// Logits of the caller's edges in the order of the csr; `constant` are those of every self loop, where there are any.
StepPtr order_step(CodesAt logits, EdgesId edges, LoopLogits loops, std::vector<int8_t> constant, CodesAt y);

// -- between nodes and edges (steps_edges.cpp)

// The rows of `edges` are the edges of a list, each with one source.
StepPtr gather_step(CodesAt x, EdgesId edges, CodesAt y);
StepPtr multiply_step(const Kernels& kernels, CodesAt a, CodesAt b, int64_t repeat, RequantizeObject rule, CodesAt y);
// `table` has at least one code, for no edges; its last one serves all numbers beyond.
StepPtr degree_step(EdgesId edges, std::vector<int32_t> table, CodesAt y);
// The sources of `edges` are the edges of a list, its rows their nodes.
StepPtr softmax_step(const Kernels& kernels, CodesAt logits, EdgesId edges, std::vector<int16_t> table, RequantizeObject rule, CodesAt y);

// -- channels of one row, or rows of one graph, brought together (steps_rows.cpp)

// What standardizing takes beside its input (row_kernels.h).
struct StandardizationRule {
  std::vector<int32_t> centre;  // of all channels, or one for each
  double inner;
  double outer;
  Divisor divisor;
};
// `groups` of channels that lie together.
StepPtr standardize_rows_step(CodesAt x, int64_t groups, StandardizationRule constants, RequantizeObject rule, CodesAt y);
// The rows of `graphs` are graphs, its sources their nodes, each of which is in one graph.
StepPtr standardize_graphs_step(CodesAt x, EdgesId graphs, bool each_channel, StandardizationRule constants, RequantizeObject rule,
                                CodesAt y);

// Of the matrices that lie in a row.
struct MatrixSizes {
  int64_t groups;
  int64_t rows;
  int64_t inner;
  int64_t cols;
};
StepPtr contract_step(CodesAt a, CodesAt b, MatrixSizes sizes, RequantizeObject rule, CodesAt y);
StepPtr row_softmax_step(CodesAt logits, int64_t groups, std::vector<int16_t> table, RequantizeObject rule, CodesAt y);
StepPtr largest_step(CodesAt x, int64_t outer, int64_t size, CodesAt y);

// -- in float32 (steps_float.cpp); `finish` is how what they compute ends

// A tensor of floats, as steps know it before any call.
struct FloatsAt {
  TensorId id;
  int64_t cols;
};

// `name` is what errors call the input; y may be kNone: its rows are looked at where they lie.
StepPtr float_input_step(std::string name, FloatsAt x, TensorId y);

StepPtr float_linear_step(const Kernels& kernels, FloatsAt x, std::unique_ptr<PackedFloatWeight> weight, FloatFinishObject finish,
                          FloatsAt y);

StepPtr float_aggregate_step(const Kernels& kernels, FloatsAt x, EdgesId edges, float self_coefficient, FloatFinishObject finish,
                             FloatsAt y);

StepPtr float_maximum_step(const Kernels& kernels, FloatsAt x, EdgesId edges, FloatsAt y);

struct FloatAttentionRule {
  int64_t heads;
  float slope;
  bool average;
};
// `edge_logits` is kNone, or a tensor in the order of the csr.
StepPtr float_attend_step(const Kernels& kernels, FloatsAt x, TensorId logits, TensorId edge_logits, EdgesId edges,
                          FloatAttentionRule attention, FloatFinishObject finish, FloatsAt y);

// As order_step.
StepPtr float_order_step(FloatsAt logits, EdgesId edges, LoopLogits loops, std::vector<float> constant, FloatsAt y);

// Side by side.
StepPtr float_concat_step(const Kernels& kernels, std::vector<FloatsAt> pieces, FloatFinishObject finish, FloatsAt y);

StepPtr float_add_step(const Kernels& kernels, FloatsAt a, FloatsAt b, FloatFinishObject finish, FloatsAt y);

struct FloatFunction {
  Activation activation;
  float a;
  float b;
};
StepPtr float_activate_step(const Kernels& kernels, FloatsAt x, FloatFunction function, FloatsAt y);

StepPtr log_softmax_step(const Kernels& kernels, FloatsAt x, FloatsAt y);
StepPtr softmax_step(const Kernels& kernels, FloatsAt x, FloatsAt y);

// The real values of codes.
StepPtr dequantize_step(const Kernels& kernels, CodesAt x, float scale, FloatsAt y);

}  // namespace degreequant
