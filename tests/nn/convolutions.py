"""Every convolution of `torch_geometric.nn.conv`, and how one is made and called: what the coverage table and the tests go through."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

CHANNELS, WIDTH, EDGE_CHANNELS = 8, 6, 3


class Model(nn.Module):
    """A linear layer, a convolution, and another linear layer where its result is one tensor of known width."""

    def __init__(self, conv: nn.Module, call: Callable[..., Any], width: int | None) -> None:
        super().__init__()
        self.first = nn.Linear(CHANNELS, CHANNELS)
        self.conv = conv
        self.last = nn.Linear(width, 3) if width else None
        self.call = call

    def forward(  # type: ignore[no-untyped-def]
        self, x, edge_index, edge_weight=None, edge_attr=None, edge_type=None, num_edges=None, node_type=None
    ):
        given = {"edge_weight": edge_weight, "edge_attr": edge_attr, "edge_type": edge_type, "num_edges": num_edges}
        given |= {"node_type": node_type}
        given = {name: value for name, value in given.items() if value is not None}
        x = self.call(self.conv, self.first(x).relu(), edge_index, **given)
        return x if self.last is None else self.last(x)


def plainly(conv: nn.Module, x: Tensor, edge_index: Tensor, **given: Tensor) -> Any:
    """`conv(x, edge_index, ...)`."""
    return conv(x, edge_index, **given)


@dataclass(frozen=True)
class Convolution:
    """A convolution as a model calls it.

    Attributes:
        make: Makes the layer.
        takes: What it is given beside nodes and edges.
        call: How it is called.
        width: Channels of its result; none where that is no tensor of nodes.
    """

    make: Callable[[], nn.Module]
    takes: tuple[str, ...] = ()
    call: Callable[..., Any] = plainly
    width: int | None = WIDTH
    options: dict[str, Any] = field(default_factory=dict)

    def model(self) -> Model:
        """A model around the layer."""
        torch.manual_seed(0)
        return Model(self.make(), self.call, self.width)


def mlp(channels: int, out: int = WIDTH) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, WIDTH), nn.ReLU(), nn.Linear(WIDTH, out))


def heat(conv: nn.Module, x: Tensor, edge_index: Tensor, edge_attr: Tensor, edge_type: Tensor, node_type: Tensor) -> Any:
    """In the order of its arguments."""
    return conv(x, edge_index, node_type, edge_type, edge_attr)


def rgat() -> nn.Module:
    conv = pyg.RGATConv(CHANNELS, WIDTH, 3, heads=1)
    nn.init.constant_(conv.l2, 1 / WIDTH)  # PyG leaves it as memory was
    return conv


DEGREES = torch.tensor([0, 2, 5, 3, 1])
C, W, E = CHANNELS, WIDTH, EDGE_CHANNELS

CONVOLUTIONS: dict[str, Convolution] = {
    "AGNNConv": Convolution(pyg.AGNNConv, width=C),
    "AntiSymmetricConv": Convolution(lambda: pyg.AntiSymmetricConv(C), width=C),
    "APPNP": Convolution(lambda: pyg.APPNP(3, 0.1), width=C),
    "APPNP, edge weights": Convolution(lambda: pyg.APPNP(3, 0.1), ("edge_weight",), width=C),
    "ARMAConv": Convolution(lambda: pyg.ARMAConv(C, W, num_stacks=2, num_layers=2)),
    "CGConv": Convolution(lambda: pyg.CGConv(C), width=C),
    "CGConv, edge features": Convolution(lambda: pyg.CGConv(C, E), ("edge_attr",), width=C),
    "ChebConv": Convolution(lambda: pyg.ChebConv(C, W, 3)),
    "ClusterGCNConv": Convolution(lambda: pyg.ClusterGCNConv(C, W)),
    "ClusterGCNConv, diag_lambda": Convolution(lambda: pyg.ClusterGCNConv(C, W, diag_lambda=0.5)),
    "DirGNNConv": Convolution(lambda: pyg.DirGNNConv(pyg.SAGEConv(C, W))),
    "DNAConv": Convolution(lambda: pyg.DNAConv(C), call=lambda conv, x, edges: conv(x.view(-1, 1, C), edges), width=C),
    "DynamicEdgeConv": Convolution(lambda: pyg.DynamicEdgeConv(mlp(2 * C), k=2), call=lambda conv, x, edges: conv(x)),
    "EdgeConv": Convolution(lambda: pyg.EdgeConv(mlp(2 * C))),
    "EGConv": Convolution(lambda: pyg.EGConv(C, W, num_heads=2, num_bases=2)),
    "EGConv, many aggregators": Convolution(lambda: pyg.EGConv(C, W, ["sum", "mean", "max"], num_heads=2, num_bases=2)),
    "FAConv": Convolution(lambda: pyg.FAConv(C), call=lambda conv, x, edges: conv(x, x, edges), width=C),
    "FeaStConv": Convolution(lambda: pyg.FeaStConv(C, W, heads=2)),
    "FiLMConv": Convolution(lambda: pyg.FiLMConv(C, W)),
    "GATConv": Convolution(lambda: pyg.GATConv(C, W // 2, heads=2)),
    "GATv2Conv": Convolution(lambda: pyg.GATv2Conv(C, W // 2, heads=2)),
    "GATv2Conv, mean of heads, no loops": Convolution(lambda: pyg.GATv2Conv(C, W, heads=2, concat=False, add_self_loops=False)),
    "GATv2Conv, edge features, no loops": Convolution(
        lambda: pyg.GATv2Conv(C, W // 2, heads=2, edge_dim=E, add_self_loops=False, residual=True), ("edge_attr",)
    ),
    "GATv2Conv, edge features": Convolution(lambda: pyg.GATv2Conv(C, W // 2, heads=2, edge_dim=E), ("edge_attr",)),
    "GatedGraphConv": Convolution(lambda: pyg.GatedGraphConv(C, 2), width=C),
    "GCN2Conv": Convolution(lambda: pyg.GCN2Conv(C, 0.1, 0.5, 1), call=lambda conv, x, edges: conv(x, x, edges), width=C),
    "GCNConv": Convolution(lambda: pyg.GCNConv(C, W)),
    "GCNConv, edge weights": Convolution(lambda: pyg.GCNConv(C, W), ("edge_weight",)),
    "GENConv": Convolution(lambda: pyg.GENConv(C, W)),
    "GENConv, learned softmax, edge features": Convolution(lambda: pyg.GENConv(C, W, learn_t=True, edge_dim=E), ("edge_attr",)),
    "GeneralConv": Convolution(lambda: pyg.GeneralConv(C, W)),
    "GeneralConv, attention": Convolution(lambda: pyg.GeneralConv(C, W, attention=True, heads=2)),
    "GINConv": Convolution(lambda: pyg.GINConv(mlp(C))),
    "GINEConv": Convolution(lambda: pyg.GINEConv(mlp(C), edge_dim=E, train_eps=True), ("edge_attr",)),
    "GMMConv": Convolution(lambda: pyg.GMMConv(C, W, dim=E, kernel_size=2), ("edge_attr",)),
    "GPSConv": Convolution(lambda: pyg.GPSConv(C, pyg.SAGEConv(C, C), heads=2), width=C),
    "GraphConv": Convolution(lambda: pyg.GraphConv(C, W)),
    "GraphConv, edge weights": Convolution(lambda: pyg.GraphConv(C, W), ("edge_weight",)),
    "GraphConv, mean of edge weights": Convolution(lambda: pyg.GraphConv(C, W, aggr="mean"), ("edge_weight",)),
    "GravNetConv": Convolution(lambda: pyg.GravNetConv(C, W, 2, 4, 2), call=lambda conv, x, edges: conv(x)),
    "HANConv": Convolution(
        lambda: pyg.HANConv(C, W, (["a"], [("a", "to", "a"), ("a", "by", "a")]), heads=2),
        call=lambda conv, x, edges: conv({"a": x}, {("a", "to", "a"): edges, ("a", "by", "a"): edges.flip([0])})["a"],
    ),
    "HEATConv": Convolution(lambda: pyg.HEATConv(C, W, 3, 3, 2, E, 2, heads=1), ("node_type", "edge_type", "edge_attr"), call=heat),
    "HEATConv, mean of heads": Convolution(
        lambda: pyg.HEATConv(C, W, 3, 3, 2, E, 2, heads=2, concat=False), ("node_type", "edge_type", "edge_attr"), call=heat
    ),
    "HeteroConv": Convolution(
        lambda: pyg.HeteroConv({("a", "to", "a"): pyg.SAGEConv(C, W), ("a", "by", "a"): pyg.GraphConv(C, W)}),
        call=lambda conv, x, edges: conv({"a": x}, {("a", "to", "a"): edges, ("a", "by", "a"): edges})["a"],
    ),
    "HGTConv": Convolution(
        lambda: pyg.HGTConv(C, W, (["a"], [("a", "to", "a")]), heads=2),
        call=lambda conv, x, edges: conv({"a": x}, {("a", "to", "a"): edges})["a"],
    ),
    "HypergraphConv": Convolution(lambda: pyg.HypergraphConv(C, W)),
    "HypergraphConv, number of hyperedges": Convolution(lambda: pyg.HypergraphConv(C, W), ("num_edges",)),
    "LEConv": Convolution(lambda: pyg.LEConv(C, W)),
    "LEConv, edge weights": Convolution(lambda: pyg.LEConv(C, W), ("edge_weight",)),
    "LGConv": Convolution(pyg.LGConv, width=C),
    "MeshCNNConv": Convolution(lambda: pyg.MeshCNNConv(C, W)),
    "MFConv": Convolution(lambda: pyg.MFConv(C, W, max_degree=4)),
    "MixHopConv": Convolution(lambda: pyg.MixHopConv(C, W // 3)),
    "NNConv": Convolution(lambda: pyg.NNConv(C, W, mlp(E, C * W)), ("edge_attr",)),
    "PANConv": Convolution(lambda: pyg.PANConv(C, W, 2), call=lambda conv, x, edges: conv(x, edges)[0]),
    "PDNConv": Convolution(lambda: pyg.PDNConv(C, W, E, 4), ("edge_attr",)),
    "PDNConv, no loops": Convolution(lambda: pyg.PDNConv(C, W, E, 4, add_self_loops=False), ("edge_attr",)),
    "PDNConv, not normalized": Convolution(lambda: pyg.PDNConv(C, W, E, 4, normalize=False), ("edge_attr",)),
    "PDNConv, no loops, not normalized": Convolution(
        lambda: pyg.PDNConv(C, W, E, 4, add_self_loops=False, normalize=False), ("edge_attr",)
    ),
    "PNAConv": Convolution(lambda: pyg.PNAConv(C, W, ["mean", "max", "min", "sum"], ["identity", "amplification", "attenuation"], DEGREES)),
    "PNAConv, towers, edge features": Convolution(
        lambda: pyg.PNAConv(C, W, ["mean", "std"], ["identity", "linear"], DEGREES, edge_dim=E, towers=2), ("edge_attr",)
    ),
    "PointGNNConv": Convolution(
        lambda: pyg.PointGNNConv(mlp(C, 3), mlp(3 + C), mlp(W, C)), call=lambda conv, x, edges: conv(x, x[:, :3], edges), width=C
    ),
    "PointNetConv": Convolution(lambda: pyg.PointNetConv(mlp(C + 3)), call=lambda conv, x, edges: conv(x, x[:, :3], edges)),
    "PointTransformerConv": Convolution(lambda: pyg.PointTransformerConv(C, W), call=lambda conv, x, edges: conv(x, x[:, :3], edges)),
    "PPFConv": Convolution(lambda: pyg.PPFConv(mlp(C + 4)), call=lambda conv, x, edges: conv(x, x[:, :3], x[:, 3:6], edges)),
    "ResGatedGraphConv": Convolution(lambda: pyg.ResGatedGraphConv(C, W)),
    "ResGatedGraphConv, edge features": Convolution(lambda: pyg.ResGatedGraphConv(C, W, edge_dim=E), ("edge_attr",)),
    "RGATConv": Convolution(rgat, ("edge_type",)),
    "RGCNConv": Convolution(lambda: pyg.RGCNConv(C, W, 3), ("edge_type",)),
    "RGCNConv, bases, sum": Convolution(lambda: pyg.RGCNConv(C, W, 3, num_bases=2, aggr="sum"), ("edge_type",)),
    "RGCNConv, blocks": Convolution(lambda: pyg.RGCNConv(C, W, 3, num_blocks=2), ("edge_type",)),
    "FastRGCNConv": Convolution(lambda: pyg.FastRGCNConv(C, W, 3), ("edge_type",)),
    "SAGEConv": Convolution(lambda: pyg.SAGEConv(C, W)),
    "SAGEConv, maximum, projected": Convolution(lambda: pyg.SAGEConv(C, W, aggr="max", project=True)),
    "SAGEConv, sum, normalized": Convolution(lambda: pyg.SAGEConv(C, W, aggr="sum", normalize=True)),
    "SAGEConv, many aggregators": Convolution(lambda: pyg.SAGEConv(C, W, aggr=["mean", "max", "min"])),
    "SGConv": Convolution(lambda: pyg.SGConv(C, W, K=2)),
    "SGConv, edge weights": Convolution(lambda: pyg.SGConv(C, W, K=2), ("edge_weight",)),
    "SignedConv": Convolution(lambda: pyg.SignedConv(C, W // 2, True), call=lambda conv, x, edges: conv(x, edges, edges.flip([0]))),
    "SimpleConv": Convolution(pyg.SimpleConv, width=C),
    "SplineConv": Convolution(lambda: pyg.SplineConv(C, W, dim=E, kernel_size=2), ("edge_attr",)),
    "SSGConv": Convolution(lambda: pyg.SSGConv(C, W, 0.1, K=2)),
    "SuperGATConv": Convolution(lambda: pyg.SuperGATConv(C, W // 2, heads=2)),
    "TAGConv": Convolution(lambda: pyg.TAGConv(C, W, K=2)),
    "TAGConv, edge weights": Convolution(lambda: pyg.TAGConv(C, W, K=2), ("edge_weight",)),
    "TransformerConv": Convolution(lambda: pyg.TransformerConv(C, W // 2, heads=2)),
    "TransformerConv, edge features, beta": Convolution(
        lambda: pyg.TransformerConv(C, W // 2, heads=2, edge_dim=E, beta=True), ("edge_attr",)
    ),
    "WLConv": Convolution(pyg.WLConv, width=None),
    "WLConvContinuous": Convolution(pyg.WLConvContinuous, width=C),
    "XConv": Convolution(lambda: pyg.XConv(C, W, 3, 2), call=lambda conv, x, edges: conv(x, x[:, :3])),
}


def inputs(seed: int = 0, nodes: int = 12, edges: int = 40) -> dict[str, Any]:
    """Features and edges with duplicates, self loops and isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    ends = max(nodes - 1, 1)
    edge_index = torch.randint(ends, (2, edges), generator=generator)
    edge_index[1, ::5] = edge_index[0, ::5]
    return {
        "x": torch.randn(nodes, CHANNELS, generator=generator),
        "edge_index": edge_index,
        "edge_weight": torch.rand(edges, generator=generator) + 0.1,
        "edge_attr": torch.randn(edges, EDGE_CHANNELS, generator=generator),
        "edge_type": torch.randint(3, (edges,), generator=generator),
        "node_type": torch.randint(3, (nodes,), generator=generator),
        "num_edges": nodes + 2,
    }
