// The plan as Python builds it: every argument is checked before a step is added, every array before a run reads it.
//
// bind_plan.cpp has inputs, graphs and runs; the steps are added by the functions of each bind_steps_*.cpp.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arguments.h"
#include "operands.h"
#include "plan.h"
#include "steps.h"

namespace degreequant {

// A form of a graph, and what it lies in.
struct EdgesObject {
  Edges view;
  nb::object csr;               // a graph's
  std::vector<InArray> arrays;  // what its edges, sources and rows are multiplied by
  CsrArrays nodes;              // a batch's
  std::vector<int32_t> mantissa;
  std::vector<int32_t> shift;
  std::vector<float> factor;
};

class PlanObject {
 public:
  PlanObject(std::string_view isa, int64_t threads);

  // -- inputs

  SpaceId space() { return plan().add_space(); }
  TensorId features(SpaceId space, int64_t channels);
  TensorId categories(SpaceId space, int64_t columns);
  EdgesId edges(SpaceId rows, SpaceId sources, bool in_order);
  void finish(TensorId output);

  // -- runs

  nb::object run(nb::list inputs, nb::list edges, nb::object out) const;
  nb::list codes(nb::list inputs, nb::list edges, const std::vector<TensorId>& wanted) const;

  // -- for the functions that add steps

  const Kernels& kernels() const { return kernels_; }
  Plan& plan();  // raises where it is finished: nothing may be added then
  // The tensor of that number, which must hold codes, or floats.
  CodesAt codes_at(TensorId tensor, const char* name) const;
  int64_t floats_at(TensorId tensor, const char* name) const;  // its columns
  int64_t categories_at(TensorId tensor, const char* name) const;
  SpaceId space_of(TensorId tensor) const { return plan_.space_of(tensor); }
  void check_edges(EdgesId edges) const;
  // How a step that follows these edges reads the rows of their sources.
  Read along(TensorId tensor, EdgesId edges) const { return plan_.in_order(edges) ? spanned(tensor) : gathered(tensor); }
  // A new tensor for a step to write.
  CodesAt store_codes(SpaceId space, int64_t cols, CodeType type, int32_t zero_point);
  TensorId store_floats(SpaceId space, int64_t cols);
  TensorId add(StepPtr step, Outline outline);

 private:
  enum class Kind : uint8_t { codes, floats, categories };
  struct Content {
    Kind kind;
    CodesAt at;  // of floats and categories the columns
  };

  const Content& content(TensorId tensor, Kind kind, const char* name) const;
  TensorId note(TensorId tensor, Kind kind, int64_t cols);
  Call start(const nb::list& inputs, const nb::list& edges, std::vector<InArray>& keep) const;
  nb::object new_matrix(const Bound& bound, const Content& content, Bound& place) const;

  const Kernels& kernels_;
  Plan plan_;
  bool finished_ = false;
  std::vector<Content> contents_;  // of each tensor
  nb::object empty_;               // numpy.empty
};

EdgesObject make_edges(nb::object csr, nb::object listed, nb::object coefficient, nb::object row_mantissa, nb::object row_shift,
                       nb::object source_factor, nb::object edge_factor, nb::object row_factor);
// The nodes of each graph, by the graph number of each of `nodes` nodes (None: all are one graph); with `mean` each row is multiplied by
// 1 / its nodes.
EdgesObject make_batch_edges(nb::object batch, int64_t nodes, bool mean);

void bind_plan(nb::module_& m);
void bind_steps_dense(nb::class_<PlanObject>& plan);
void bind_steps_graph(nb::class_<PlanObject>& plan);
void bind_steps_edges(nb::class_<PlanObject>& plan);
void bind_steps_rows(nb::class_<PlanObject>& plan);
void bind_steps_float(nb::class_<PlanObject>& plan);

}  // namespace degreequant
