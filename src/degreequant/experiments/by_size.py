"""What the size of the graph costs: operations and bytes of one small model, from Cora to the Reddit graph (the paper's figure 1).

The model is the paper's example, a GCN of two layers and 32 units: some 80 KB of float weights for Reddit. Only the size of a graph
counts, so it need not be at hand.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch

from degreequant.conversion import convert
from degreequant.data import DATASETS
from degreequant.experiments.experiment import REVISION
from degreequant.experiments.record import Row, environment
from degreequant.nn.rewrite import prepare
from degreequant.program import Program
from degreequant.recipe import Recipe
from degreequant.runtime.cost import costs_at
from degreequant.train.models.citation import GCN

HIDDEN = 32


@dataclass(frozen=True)
class GraphSize:
    """A graph by its size; `edges` are directed."""

    name: str
    nodes: int
    edges: int
    features: int
    classes: int


def _citation(name: str) -> GraphSize:
    size = DATASETS[name].statistics
    return GraphSize(DATASETS[name].title, size.nodes, 2 * size.edges, size.features, size.classes)


GRAPHS = (*map(_citation, ("cora", "citeseer", "pubmed")), GraphSize("Reddit", 232_965, 114_615_892, 602, 41))
"""Reddit is that of GraphSAGE, by its published size."""


def size_rows(known: Container[str] = ()) -> Iterator[Row]:
    """A row for each graph but those whose key is known."""
    for graph in GRAPHS:
        key = f"by-size/{graph.name.lower()}/{REVISION}"
        if key in known:
            continue
        programs = {f"int{bits}": gcn_program(graph, bits) for bits in (8, 4)}
        costs = {name: costs_at(program, nodes=graph.nodes, edges=graph.edges) for name, program in programs.items()}
        row = {
            "key": key,
            "figure": "by-size",
            "revision": REVISION,
            "graph": graph.name,
            "nodes": graph.nodes,
            "edges": graph.edges,
            "float_weight_bytes": 4 * sum(parameter.numel() for parameter in _model(graph).parameters()),
            "program_bytes": {name: program.nbytes for name, program in programs.items()},
            "multiplications": sum(cost.multiplications for cost in costs["int8"]),
            "operations": sum(cost.operations for cost in costs["int8"]),
            "bytes_moved": {name: sum(cost.bytes for cost in some) for name, some in costs.items()},
        }
        yield row | environment()


def gcn_program(graph: GraphSize, bits: int) -> Program:
    """The example's program for a graph of that many features and classes; its weights are random, its cost is not."""
    torch.manual_seed(0)
    model = prepare(_model(graph), Recipe.qat(bits))
    model.train()(torch.rand(4, graph.features), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
    return convert(model.eval())


def _model(graph: GraphSize) -> GCN:
    return GCN(graph.features, HIDDEN, graph.classes)
