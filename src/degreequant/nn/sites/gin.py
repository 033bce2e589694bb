"""`GINConv` (Xu et al., 2019): x' = h((1 + eps) x_i + sum of x_j).

Stored and quantized: the input, the sum, then whatever the network `h` stores: it is
traced like any other part of the model. Inside the accumulator: the plain sum, and 1 + eps as a fixed-point coefficient.
"""

from typing import Any

import numpy as np
from torch import Tensor

from degreequant.errors import ConvertError
from degreequant.fixedpoint import round_half_away
from degreequant.nn.sites.adjacency import WeighedEdges, integer_adjacency, neighbour_sum
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.gcn import propagation_problem
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import Aggregate, AnyOperation, FloatAggregate, Operation, Requantize
from degreequant.operations.graph import MAX_EDGE_SHIFT, PLAIN_SUM
from degreequant.protect import edge_list
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


class GINSite(Site):
    """The sum of one call of a `GINConv`; its network has sites of its own."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]` and `edge_index` `[2, edges]`."""
        x, edge_index, _ = args
        neighbours = neighbour_sum(x, WeighedEdges.among(len(x), edge_list(edge_index)), PLAIN_SUM, context.graphs)
        return self.finish(context, neighbours + (1 + self.layer(context).eps) * x)  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The sum's codes."""
        x, edge_index, _ = args
        adjacency = integer_adjacency(WeighedEdges.among(len(x.codes), edge_list(edge_index)), PLAIN_SUM, context.graphs)
        coefficient, shift = self._self_term(context)
        acc = (exact.aggregate(adjacency.matrix, x) << shift) + coefficient * (x.codes.long() - x.grid.zero_point)
        return self.finish.exact(context, acc, self._rule(context, x.grid, shift, x.codes.shape[1]))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One aggregation."""
        x, edge_index, _ = args
        coefficient, shift = self._self_term(context)
        rule = self._rule(context, x.grid, shift, x.channels)

        def make(name: str, grid: Grid) -> Operation:
            return Aggregate(name, x.name, grid, x.channels, edge_index, None, PLAIN_SUM, rule, coefficient, shift)

        return self.finish.lower(context, make)

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One aggregation."""
        x, edge_index, _ = args
        factor = 1.0 + float(self.layer(context).eps.detach())
        scale, bias = self.finish.float_end(context, None, x.channels)

        def make(name: str, relu: bool) -> FloatAggregate:
            return FloatAggregate(name, x.name, x.channels, edge_index, None, PLAIN_SUM, bias, factor, scale, relu)

        return self.finish.lower_float(context, make)

    def _self_term(self, context: Context) -> tuple[int, int]:
        """`1 + eps` as a coefficient, and the shift of the neighbours' sum beside it (docs/numerics.md, "GIN")."""
        factor = 1.0 + float(self.layer(context).eps.detach())
        _, exponent = np.frexp(abs(factor))
        if not abs(factor) < 2**14:
            raise ConvertError(f"module {self.spec.path!r}: 1 + eps is {factor:g}; expected a magnitude below 2^14")
        shift = int(np.clip(14 - exponent, 0, MAX_EDGE_SHIFT))
        return int(round_half_away(factor * 2**shift)), shift

    def _rule(self, context: Context, source: Grid, shift: int, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale * 2.0**-shift]), None, channels)


def gin_problem(layer: Any) -> str | None:
    """Why a `GINConv` cannot be quantized, if so."""
    return propagation_problem(layer, "add")
