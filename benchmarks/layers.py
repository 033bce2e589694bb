"""Layers made of gathering, arithmetic on edges and collecting, at INT8, beside PyG's float32 in every form that the layer runs in.

    python benchmarks/layers.py [--layers LAYER ...] [--nodes 100000] [--edges 1000000] [--channels 64] [--threads 1] [--repeats 5]
                                [--parts] [--out results/layers.jsonl]

The graph: power law with exponent 2.7, seed 0 (`degreequant.bench.graphs`). A layer takes and gives `--channels` channels; layers with edge
features get 16 for each edge. Ranges are those of one pass over the graph. Before it is timed, a layer's integers are checked: the codes of
every instruction set are those of the plain loops on a smaller graph. *Off* is the distance from PyG's result, as a share of its norm.

A call takes float32 features and a graph that was prepared before, as PyG's forms are: `edge_index`, `EdgeIndex` sorted by target with its
caches filled, and a `torch.sparse` CSR matrix, as far as the layer takes them. glibc is told to keep freed memory, for all contenders. Each
layer is a line of `--out`. With `--parts` the engine alone is timed, and what each operation costs is found: what a call takes longer when
the program has that operation twice.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch_geometric.nn as pyg
from agreement import check_instruction_sets
from torch import Tensor, nn
from torch_geometric import EdgeIndex

import degreequant as dq
from degreequant.bench.graphs import features, power_law
from degreequant.bench.timing import alternate
from degreequant.experiments import record
from degreequant.train.memory import keep_freed_memory

EDGE_CHANNELS = 16
SMALL = (1_000, 10_000)  # nodes and edges of the graph that is checked


def mlp(inputs: int, outputs: int) -> nn.Module:
    """Two linear layers."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))


def pna(channels: int, degrees: Tensor) -> nn.Module:
    """A PNA of the usual aggregators and scalers."""
    return pyg.PNAConv(channels, channels, ["mean", "max", "min", "std"], ["identity", "amplification", "attenuation"], degrees)


@dataclass(frozen=True)
class Layer:
    """How a layer is made, of channels and of a histogram of degrees, and whether it takes edge features."""

    make: Callable[[int, Tensor], nn.Module]
    edge_features: bool = False


LAYERS = {
    "SAGEConv, max": Layer(lambda c, _: pyg.SAGEConv(c, c, aggr="max")),
    "EdgeConv": Layer(lambda c, _: pyg.EdgeConv(mlp(2 * c, c))),
    "GATv2Conv": Layer(lambda c, _: pyg.GATv2Conv(c, c // 8, heads=8)),
    "TransformerConv": Layer(lambda c, _: pyg.TransformerConv(c, c // 8, heads=8)),
    "ResGatedGraphConv": Layer(lambda c, _: pyg.ResGatedGraphConv(c, c)),
    "GENConv": Layer(lambda c, _: pyg.GENConv(c, c)),
    "GINEConv": Layer(lambda c, _: pyg.GINEConv(mlp(c, c), edge_dim=EDGE_CHANNELS), edge_features=True),
    "CGConv": Layer(lambda c, _: pyg.CGConv(c, EDGE_CHANNELS), edge_features=True),
    "GeneralConv, attention": Layer(lambda c, _: pyg.GeneralConv(c, c, attention=True, heads=8)),
    "PNAConv": Layer(pna),
    "FiLMConv": Layer(lambda c, _: pyg.FiLMConv(c, c)),
    "GraphConv": Layer(lambda c, _: pyg.GraphConv(c, c)),
}


class OneLayer(nn.Module):
    """A model of a single layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        """The layer's result."""
        result: Tensor = self.layer(x, edge_index) if edge_attr is None else self.layer(x, edge_index, edge_attr)
        return result


@dataclass(frozen=True)
class World:
    """What layers are called on."""

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor

    @classmethod
    def power_law(cls, nodes: int, edges: int, channels: int) -> "World":
        """The graph of the module's docstring with standard normal features."""
        edge_index = torch.from_numpy(power_law(nodes, edges).astype(np.int64))
        return cls(torch.from_numpy(features(nodes, channels)), edge_index, torch.from_numpy(features(edges, EDGE_CHANNELS, 1)))

    def given(self, layer: Layer) -> dict[str, Tensor]:
        """The arguments of that layer."""
        given = {"x": self.x, "edge_index": self.edge_index}
        return {**given, "edge_attr": self.edge_attr} if layer.edge_features else given

    def degrees(self) -> Tensor:
        """How many nodes have each in-degree."""
        return torch.bincount(torch.bincount(self.edge_index[1], minlength=len(self.x)))


def converted(model: nn.Module, given: dict[str, Tensor]) -> Any:
    """The model's program at INT8, its ranges those of these inputs."""
    prepared = dq.prepare(model, dq.Recipe.qat(8, ranges="minmax"), example_inputs=given).train()
    with torch.no_grad():
        prepared(**given)
    return dq.convert(prepared.eval())


def peers(model: nn.Module, given: dict[str, Tensor]) -> dict[str, Callable[[], Tensor]]:
    """PyG's layer in the forms that it takes, each of which gives the same."""

    def call(mode: Any, edges: Any) -> Tensor:
        with mode():
            result: Tensor = model(**{**given, "edge_index": edges})
        return result

    edge_index, nodes = given["edge_index"], len(given["x"])
    forms = {"PyG edge_index": partial(call, torch.inference_mode, edge_index)}
    expected = forms["PyG edge_index"]()
    if "edge_attr" in given:  # in the order of the edges as they are given
        return forms
    ordered = EdgeIndex(edge_index, sparse_size=(nodes, nodes)).sort_by("col").values.fill_cache_()
    matrix = torch.sparse_csr_tensor(*ordered.get_csc()[0], torch.ones(edge_index.shape[1]), (nodes, nodes), check_invariants=False)
    others = {"PyG EdgeIndex": partial(call, torch.no_grad, ordered), "PyG CSR": partial(call, torch.inference_mode, matrix)}
    for name, form in others.items():
        try:
            torch.testing.assert_close(form(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            print(f"  {name}: {str(error).splitlines()[0]}")
            continue
        forms[name] = form
    return forms


@dataclass(frozen=True)
class Case:
    """A layer as it is timed: the float model, its program, what both are called with, and the engine's arguments."""

    model: nn.Module
    program: dq.Program
    given: dict[str, Any]
    prepared: dict[str, Any]

    @classmethod
    def of(cls, layer: Layer, options: argparse.Namespace) -> "Case":
        """The layer on the graph of the options, its integers checked."""
        torch.set_num_threads(options.threads)
        world = World.power_law(options.nodes, options.edges, options.channels)
        torch.manual_seed(0)
        model = OneLayer(layer.make(options.channels, world.degrees())).eval()
        given = world.given(layer)
        program = converted(model, given)
        check_instruction_sets(program, World.power_law(*SMALL, options.channels).given(layer))
        graph = dq.Engine(program, threads=options.threads).graph(given["edge_index"], options.nodes)
        return cls(model, program, given, {**given, "edge_index": graph})

    def call(self, program: dq.Program, threads: int) -> Callable[[], Any]:
        """A call of an engine that runs the program."""
        return partial(dq.Engine(program, threads=threads), **self.prepared)


def beside_peers(case: Case, options: argparse.Namespace) -> record.Row:
    """The layer beside PyG's."""
    contenders: dict[str, Callable[[], Any]] = dict(peers(case.model, case.given))
    contenders["INT8"] = case.call(case.program, options.threads)
    expected = contenders["PyG edge_index"]().numpy()
    off = float(np.linalg.norm(contenders["INT8"]() - expected) / np.linalg.norm(expected))
    ms = {which: round(timing.ms, 2) for which, timing in alternate(contenders, repeats=options.repeats, warmup=1).items()}
    fastest = min((which for which in ms if which != "INT8"), key=ms.__getitem__)
    return {"ms": ms, "fastest peer": fastest, "ratio": round(ms[fastest] / ms["INT8"], 2), "off": round(off, 4)}


def by_parts(case: Case, options: argparse.Namespace) -> record.Row:
    """What each operation of the layer costs."""
    contenders = {"INT8": case.call(case.program, options.threads)}
    operations = case.program.operations
    for place, operation in enumerate(operations):
        again = replace(operation, name=f"{operation.name} again")
        twice = replace(case.program, operations=(*operations[: place + 1], again, *operations[place + 1 :]))
        contenders[f"{operation.name} ({operation.kind})"] = case.call(twice, options.threads)
    ms = {which: timing.ms for which, timing in alternate(contenders, repeats=options.repeats, warmup=1).items()}
    whole = ms.pop("INT8")
    return {"ms": {"INT8": round(whole, 2)}, "parts": {which: round(taken - whole, 1) for which, taken in ms.items()}}


def main() -> None:
    """Times the layers that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", action="store_true", help="Times the engine's operations, and no peers.")
    parser.add_argument("--out", help="A results file to append to.")
    options = parser.parse_args()
    keep_freed_memory()
    for name in options.layers:
        case = {"layer": name, **{key: getattr(options, key) for key in ("nodes", "edges", "channels", "threads")}}
        row = {
            "benchmark": "layer parts" if options.parts else "layer",
            "repeats": options.repeats,
            "isa": dq.available_isas()[-1],
            "case": case,
        }
        row |= (by_parts if options.parts else beside_peers)(Case.of(LAYERS[name], options), options)
        print(f"{name:24s}", *(f"{key} {row[key]}" for key in ("ratio", "off", "ms", "parts") if key in row), flush=True)
        if options.out:
            record.append(options.out, row | record.environment())


if __name__ == "__main__":
    main()
