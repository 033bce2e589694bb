"""`GATConv` (Velickovic et al., 2018): attention over each node's edges.

Stored and quantized: the input, W, the transformed features xW (symmetric), the halves of the logits per node (and per
edge, with edge features), and the output. The logits are indices of a table, so they have 8 bits at any width of the features. Inside the
accumulator: LeakyReLU and softmax on codes, and the weighted sums; the division is in the multiplier of each row and head
(docs/numerics.md, "attend").
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from degreequant import fixedpoint
from degreequant.coefficients import reciprocal
from degreequant.nn.sites.attention import (
    Attention,
    attend,
    attention_edges,
    by_head,
    edge_weight,
    exact_attend,
    exp_table,
    halves,
    mean_by_target,
    slope_code,
    with_loops,
)
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.gcn import propagation_problem
from degreequant.nn.sites.join import lower_add, sum_factors
from degreequant.nn.sites.linear import exact_linear, float_linear, lower_linear, weight_integers
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.nn.sites.weighted import Edges
from degreequant.operations import AnyOperation, Attend, FloatAdd, FloatAttend, Operation, Requantize
from degreequant.packing import WeightCodes
from degreequant.protect import edge_list
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.quant.grid import grid_parameters
from degreequant.scheme import Grid, TensorSpec

LOGIT_BITS = 8
LOOP_SPEC = TensorSpec(8)
_ONE = fixedpoint.from_real(np.ones(1))


@dataclass(frozen=True)
class Beside:
    """What a call of a `GATConv` computes beside the attention among nodes: a residual, logits of edges."""

    residual: bool = False
    edges: bool = False

    @classmethod
    def of(cls, layer: Any, args: tuple[Any, ...]) -> "Beside":
        """That of a call of `layer` with `args`, as `GATSite` takes them."""
        return cls(layer.res is not None, layer.lin_edge is not None and args[2] is not None)


class GATSite(Site):
    """One call of a `GATConv`. Beside the output it stores `NAME.lin`, `NAME.logits` and, where there are edge features,
    `NAME.edge_logits`; with `residual=True` the sums as `NAME.att` and the residual as `NAME.res`."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        recipe = spec.recipe
        beside: Beside = spec.options or Beside()
        self.weight, self.attention = WeightQuantizer(recipe), WeightQuantizer(recipe)
        self.features = ActivationQuantizer(f"{spec.name}.lin", "symmetric", recipe)
        self.logits = ActivationQuantizer(f"{spec.name}.logits", "symmetric", recipe.replace(activation_bits=LOGIT_BITS))
        self.finish = Finish(spec)
        if beside.edges:
            self.edge_attention = WeightQuantizer(recipe)
        if beside.residual:
            self.residual_weight = WeightQuantizer(recipe)
            self.sums = ActivationQuantizer(f"{spec.name}.att", "affine", recipe)
            self.residual = ActivationQuantizer(f"{spec.name}.res", "affine", recipe)

    # -- training

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]`, `edge_index` `[2, edges]` and maybe `edge_attr` `[edges, channels]`."""
        x, edge_index, edge_attr, *_ = args
        layer, protected = self.layer(context), self.protected(context)
        features = context.keep(self.features.name, self.features(F.linear(x, self.weight(layer.lin.weight)), protected))
        of_ends = F.linear(features, by_head(self.attention(halves(layer)), layer.heads))
        logits = context.keep(self.logits.name, self.logits(of_ends, protected))
        edges = attention_edges(edge_list(edge_index), len(x), layer.add_self_loops, context.graphs)
        edge_logits = self._edge_logits(context, layer, edge_attr, edges, len(x))
        attention = Attention(layer.heads, layer.negative_slope, layer.dropout, self._logit_scale())
        sums = attend(features, logits, edge_logits, edges, attention, protected, self.training)
        y = sums.flatten(1) if layer.concat else sums.mean(dim=1)
        if layer.res is not None:
            y = context.keep(self.sums.name, self.sums(y, protected))
            y = y + context.keep(self.residual.name, self.residual(F.linear(x, self.residual_weight(layer.res.weight)), protected))
        return self.finish(context, y if layer.bias is None else y + layer.bias)  # type: ignore[no-any-return]

    def _logit_scale(self) -> Tensor | None:
        logits = self.logits
        return grid_parameters(logits.range.low, logits.range.high, "symmetric", logits.spec)[0] if logits.active else None

    def _edge_logits(self, context: Context, layer: Any, edge_attr: Tensor | None, edges: Edges, nodes: int) -> Tensor | None:
        if edge_attr is None or layer.lin_edge is None:
            return None
        weight = self.edge_attention(edge_weight(layer))
        logits = context.keep(f"{self.spec.name}.edge_logits", self.logits(F.linear(edge_attr, weight)))
        loops = None
        if edges.loops and layer.fill_value == "mean":
            total, count = mean_by_target(logits, edges, nodes)
            loops = self.logits.fake_quantize(total / count.clamp(min=1))
        elif edges.loops:
            loops = self.logits(float(layer.fill_value) * weight.sum(dim=1, keepdim=True).T)
        return with_loops(logits, loops, edges)

    # -- evaluation

    def exact(self, context: Context, *args: Any) -> Codes:
        """The output's codes."""
        x, edge_index, edge_attr, *_ = args
        layer = self.layer(context)
        features = exact_linear(context, x, self._features(layer, x.grid), self.features.name, self.features.grid())
        logits = exact_linear(context, features, self._logits(layer), self.logits.name, self.logits.grid())
        edges = attention_edges(edge_list(edge_index), len(x.codes), layer.add_self_loops, context.graphs)
        edge_logits = self._exact_edge_logits(context, layer, edge_attr, edges, len(x.codes))
        table = exp_table(self.logits.grid().scale, 256 if edge_logits is None else 511)
        sums, row = exact_attend(features, logits, edge_logits, edges, layer.heads, slope_code(layer.negative_slope), table)
        if layer.res is None:
            rule, target = self._rule(context, layer), self.finish.target()
            return self.finish.close(context, _finished(sums, row, rule, target, concat=layer.concat))
        a = context.keep(self.sums.name, _finished(sums, row, self._sums_rule(layer), self.sums.grid(), concat=layer.concat))
        b = exact_linear(context, x, self._residual(layer, x.grid), self.residual.name, self.residual.grid())
        target = self.finish.target()
        addend = self._addend(context, layer)
        codes = exact.add(a, b, sum_factors(a.grid, b.grid, target, addend), addend, target)
        return self.finish.close(context, codes)

    def _exact_edge_logits(self, context: Context, layer: Any, edge_attr: Codes | None, edges: Edges, nodes: int) -> Tensor | None:
        if edge_attr is None or layer.lin_edge is None:
            return None
        integers = self._edge_integers(layer, edge_attr.grid)
        logits = exact_linear(context, edge_attr, integers, f"{self.spec.name}.edge_logits", self.logits.grid()).codes
        loops = None
        if edges.loops and layer.fill_value == "mean":
            total, count = mean_by_target(logits.long(), edges, nodes)
            loops = exact.requantize(total, _ONE, None, self.logits.grid(), reciprocal(count.cpu().numpy())).codes
        elif edges.loops:
            loops = torch.from_numpy(self._loop_logits(layer).astype(np.int32)).to(logits.device).unsqueeze(0)
        return with_loops(logits, loops, edges)

    # -- the Program

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """Linear operations for features and logits, and the attention; an addition with `residual=True`."""
        x, edge_index, edge_attr, *_ = args
        layer = self.layer(context)
        features = lower_linear(self.features.name, x, self._features(layer, x.grid), self.features.grid())
        logits = lower_linear(self.logits.name, features, self._logits(layer), self.logits.grid())
        edge_logits = None
        if edge_attr is not None and layer.lin_edge is not None:
            integers = self._edge_integers(layer, edge_attr.grid)
            edge_logits = lower_linear(f"{self.spec.name}.edge_logits", edge_attr, integers, self.logits.grid())
        first: list[AnyOperation] = [features, logits, *([edge_logits] if edge_logits else [])]
        loop_logits = None
        if edge_logits is not None and layer.add_self_loops and layer.fill_value != "mean":
            loop_logits = self._loop_logits(layer)

        def make(name: str, grid: Grid, rule: Requantize) -> Operation:
            channels = features.channels if layer.concat else features.channels // layer.heads
            table = exp_table(self.logits.grid().scale, 256 if edge_logits is None else 511)
            softmax = (slope_code(layer.negative_slope), table)
            loops = (layer.add_self_loops, loop_logits)
            edges = (logits.name, edge_logits.name if edge_logits else None, edge_index)
            return Attend(name, features.name, grid, channels, *edges, layer.heads, not layer.concat, *loops, *softmax, rule)

        if layer.res is None:
            return [*first, *self.finish.lower(context, lambda name, grid: make(name, grid, self._rule(context, layer)))]
        sums = make(self.sums.name, self.sums.grid(), self._sums_rule(layer))
        residual = lower_linear(self.residual.name, x, self._residual(layer, x.grid), self.residual.grid())
        addend = self._addend(context, layer)
        return [
            *first,
            sums,
            residual,
            *self.finish.lower(context, lambda name, grid: lower_add(name, grid, sums, residual, addend)),
        ]

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """Linear operations for features and logits, and the attention; an addition with `residual=True`."""
        x, edge_index, edge_attr, *_ = args
        layer = self.layer(context)
        features = float_linear(self.features.name, x, layer.lin.weight)
        logits = float_linear(self.logits.name, features, by_head(halves(layer), layer.heads))
        edge_logits, loops = None, None
        if edge_attr is not None and layer.lin_edge is not None:
            weight = edge_weight(layer)
            edge_logits = float_linear(f"{self.spec.name}.edge_logits", edge_attr, weight)
            if layer.add_self_loops and layer.fill_value != "mean":
                loops = exact.reals(float(layer.fill_value) * weight.sum(dim=1)).astype(np.float32)
        first: list[AnyOperation] = [features, logits, *([edge_logits] if edge_logits else [])]
        channels = features.channels if layer.concat else features.channels // layer.heads
        edges = (logits.name, edge_logits.name if edge_logits else None, edge_index, layer.heads, not layer.concat, layer.add_self_loops)
        constants = (channels, *edges, loops, float(layer.negative_slope))
        end = self.finish.float_end(context, layer.bias, channels)
        if layer.res is None:
            return [
                *first,
                *self.finish.lower_float(context, lambda name, relu: FloatAttend(name, features.name, *constants, *end, relu)),
            ]
        sums = FloatAttend(f"{self.spec.name}.att", features.name, *constants)
        residual = float_linear(f"{self.spec.name}.res", x, layer.res.weight)
        _, bias = end
        finish = self.finish.lower_float(context, lambda name, relu: FloatAdd(name, sums.name, channels, residual.name, bias, relu))
        return [*first, sums, residual, *finish]

    def width(self, context: Context, position: int) -> int | None:
        """The inputs of the weight of nodes, or of that of edges."""
        layer = self.layer(context)
        linear = {0: layer.lin, 2: layer.lin_edge}.get(position)
        return None if linear is None else int(linear.weight.shape[1])

    # -- the integers that both compute with

    def _features(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        weight, factor = weight_integers(layer.lin.weight, self.weight, source)
        return weight, exact.requantizer(factor, self.features.grid(), None)

    def _logits(self, layer: Any) -> tuple[WeightCodes, Requantize]:
        """The attention vectors as one weight `[2 * heads, heads * channels]`, each on the channels of its head."""
        vectors, factor = weight_integers(halves(layer), self.attention, self.features.grid())
        blocks = np.zeros((2, layer.heads, layer.heads, layer.out_channels), np.int8)
        for head in range(layer.heads):
            blocks[:, head, head] = vectors.codes.reshape(2, layer.heads, -1)[:, head]
        return WeightCodes(vectors.spec, blocks.reshape(2 * layer.heads, -1)), exact.requantizer(factor, self.logits.grid(), None)

    def _edge_integers(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        weight, factor = weight_integers(edge_weight(layer), self.edge_attention, source)
        return weight, exact.requantizer(factor, self.logits.grid(), None)

    def _loop_logits(self, layer: Any) -> np.ndarray[Any, np.dtype[np.int8]]:
        """The edge logits of an edge whose features are all `fill_value`: the code 1 of a grid of that scale."""
        filled = Codes(torch.ones(1, layer.lin_edge.weight.shape[1], dtype=torch.int32), Grid(LOOP_SPEC, float(layer.fill_value)))
        weight, rule = self._edge_integers(layer, filled.grid)
        codes = exact.requantize(exact.linear(filled, weight), rule.multiplier, rule.addend, self.logits.grid()).codes
        return codes[0].numpy().astype(np.int8)

    def _residual(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        weight, factor = weight_integers(layer.res.weight, self.residual_weight, source)
        return weight, exact.requantizer(factor, self.residual.grid(), None)

    def _rule(self, context: Context, layer: Any) -> Requantize:
        return self.finish.rule(context, self._unit(layer), layer.bias, self._channels(layer))

    def _sums_rule(self, layer: Any) -> Requantize:
        return exact.requantizer(self._unit(layer), self.sums.grid(), None)

    def _unit(self, layer: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([self.features.grid().scale / (1 if layer.concat else layer.heads)])

    def _channels(self, layer: Any) -> int:
        return int(layer.out_channels * (layer.heads if layer.concat else 1))

    def _addend(self, context: Context, layer: Any) -> np.ndarray[Any, np.dtype[np.int32]] | None:
        target = self.finish.target()
        return None if layer.bias is None else fixedpoint.addend_from_real(exact.reals(layer.bias) / target.scale, target.spec.bits)


def gat_problem(layer: Any) -> str | None:
    """Why a `GATConv` cannot be quantized, if so."""
    if layer.lin is None:
        return "in_channels is a pair (a bipartite layer); expected one number"
    if not 0 <= layer.negative_slope <= 1:
        return f"negative_slope={layer.negative_slope} is not supported; expected 0 to 1"
    if (
        layer.lin_edge is not None
        and layer.add_self_loops
        and not (layer.fill_value == "mean" or isinstance(layer.fill_value, int | float))
    ):
        return f"fill_value={layer.fill_value!r} is not supported; expected 'mean' or a number"
    return propagation_problem(layer, "add")


def _finished(sums: Tensor, row: fixedpoint.Multiplier, rule: Requantize, grid: Grid, *, concat: bool) -> Codes:
    """The codes of the heads' sums, side by side or averaged."""
    nodes, heads, channels = sums.shape
    if not concat:
        total = exact.shares(sums, rule.multiplier, fixedpoint.shift_limits(grid.spec.bits, rule.addend), row).sum(dim=1)
        return exact.join_shares(total, rule.addend, grid)
    multiplier = fixedpoint.Multiplier(*(np.broadcast_to(part, heads * channels).reshape(heads, channels) for part in rule.multiplier))
    addend = None if rule.addend is None else rule.addend.reshape(heads, channels)
    return Codes(exact.requantize(sums, multiplier, addend, grid, row).codes.reshape(nodes, heads * channels), grid)
