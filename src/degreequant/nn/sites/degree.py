"""Functions of the nodes' in-degrees, as scalers use them: a table by degree, whose entries are codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from degreequant.nn.sites.message import ENDS
from degreequant.nn.sites.pointwise import Pointwise
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Degree, Operation
from degreequant.operations.edges import MAX_DEGREES, EdgeSet
from degreequant.packing import CODES
from degreequant.protect import edge_list
from degreequant.quant.exact import Codes, quantize
from degreequant.quant.fake import ActivationQuantizer


@dataclass(frozen=True)
class OfDegrees:
    """A function of the number of edges at one end."""

    edges: EdgeSet
    end: int
    function: Pointwise

    def reads(self) -> set[str]:
        """Names of the results that it reads: they follow from parameters."""
        return self.function.reads()


class DegreeSite(Site):
    """One column: the function at each node's number of edges. Degrees beyond the table count as its last."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        options: OfDegrees = spec.options
        self.edges, self.end, self.function = options.edges, options.end, options.function
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the edges `[2, edges]` and the number of nodes."""
        stored: Tensor = self.output(self.function(self._degrees(*args).float(), context.values), self.protected(context))
        return context.keep(self.spec.name, stored)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The table's entries."""
        degrees = self._degrees(*args)
        table = torch.from_numpy(self._table(context).astype(np.int32)).to(degrees.device)
        return context.keep(self.spec.name, Codes(table[degrees.clamp(max=len(table) - 1)], self.output.grid()))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One operation."""
        degree: Operation = Degree(self.spec.name, "", self.output.grid(), 1, self.edges, ENDS[self.end], self._table(context))
        return [degree]

    def _degrees(self, edge_index: Tensor, nodes: int) -> Tensor:
        ends = edge_list(edge_index)[self.end]
        return torch.bincount(ends, minlength=nodes).unsqueeze(-1)

    def _table(self, context: Context) -> npt.NDArray[Any]:
        """Entries for the degrees from 0 on, without the equal ones at the end."""
        grid = self.output.grid()
        degrees = torch.arange(MAX_DEGREES, dtype=torch.float32, device=self.output.range.low.device)
        values = self.function(degrees, context.values).nan_to_num(posinf=1e30, neginf=-1e30)
        codes = quantize(values, grid).codes.cpu().numpy().astype(CODES[grid.spec.code_type])
        changes = np.flatnonzero(np.diff(codes.astype(np.int32)))
        return codes[: (int(changes[-1]) + 2 if len(changes) else 1)]
