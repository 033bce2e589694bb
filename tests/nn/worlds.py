"""Inputs of every kind that a model may take, by name, on graphs with everything that graphs may have."""

import torch
from torch import Tensor
from torch_geometric.data import Data

CHANNELS = 5
EDGE_CHANNELS = 3
ATOMS = (7, 4)
"""Categories of a node, by column."""
BONDS = 6
"""Categories of an edge."""

World = dict[str, Tensor]


def world(nodes: tuple[int, ...] = (9, 1, 6, 4), edges: tuple[int, ...] = (30, 0, 12, 5), seed: int = 0) -> World:
    """A batch of graphs of so many nodes and edges: duplicate edges, self loops (some twice), and the last node of each is isolated."""
    generator = torch.Generator().manual_seed(seed)
    pieces, first = [torch.zeros(2, 0, dtype=torch.long)], 0
    for count, wanted in zip(nodes, edges, strict=True):
        ends = torch.randint(max(count - 1, 1), (2, wanted), generator=generator)
        ends[:, 1::7] = ends[:, 0::7][:, : ends[:, 1::7].shape[1]]
        ends[1, 0::5] = ends[0, 0::5]
        pieces.append(ends + first)
        first += count
    return filled(torch.cat(pieces, dim=1), torch.repeat_interleave(torch.tensor(nodes, dtype=torch.long)), generator)


def filled(edge_index: Tensor, batch: Tensor, generator: torch.Generator) -> World:
    """Values for these edges and the nodes of these graphs."""
    nodes, edges = len(batch), edge_index.shape[1]
    x = torch.randn(nodes, CHANNELS, generator=generator)
    return {
        "x": x,
        "input": x,
        "edge_index": edge_index,
        "batch": batch,
        "edge_attr": torch.randn(edges, EDGE_CHANNELS, generator=generator),
        "edge_weight": torch.rand(edges, generator=generator) + 0.1,
        "atoms": torch.stack([torch.randint(count, (nodes,), generator=generator) for count in ATOMS], dim=1),
        "atom": torch.randint(ATOMS[0], (nodes, 1), generator=generator),
        "bonds": torch.randint(BONDS, (edges,), generator=generator),
    }


def shuffled(given: World, seed: int = 0) -> World:
    """The same graphs with their nodes in another order, so that those of a graph lie apart; and their edges in another order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(given["batch"]), generator=generator)
    edge_order = torch.randperm(given["edge_index"].shape[1], generator=generator)
    of_edges = {name: given[name][edge_order] for name in ("edge_attr", "edge_weight", "bonds")}
    of_nodes = {name: given[name][order] for name in ("x", "input", "batch", "atoms", "atom")}
    return {**of_nodes, **of_edges, "edge_index": order.argsort()[given["edge_index"]][:, edge_order]}


USUAL = world()
WORLDS = {
    "usual": USUAL,
    "shuffled": shuffled(USUAL),
    "one node": world((1,), (0,)),
    "one node and its loops": world((1,), (3,)),
    "no edges": world((3, 2), (0, 0)),
    "only loops": filled(torch.arange(4).repeat(2, 2), torch.zeros(4, dtype=torch.long), torch.Generator().manual_seed(1)),
    "beyond the ranges": {name: value * 1000 if value.is_floating_point() else value for name, value in world(seed=3).items()},
    "no nodes": world((), ()),
}


def data(given: World) -> Data:
    """The same as one object."""
    return Data(**{name: value for name, value in given.items() if name != "input"})
