"""`Embedding`: its table is quantized; a lookup moves codes."""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from degreequant.errors import InputError
from degreequant.nn.sites.linear import float_weight
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Embedding, FloatEmbedding, Operation
from degreequant.packing import CODES, WeightCodes
from degreequant.quant.exact import Codes, quantize
from degreequant.quant.fake import ActivationQuantizer


@dataclass(frozen=True)
class Table:
    """A result that follows from parameters, of which rows are taken: the name of it."""

    name: str

    def reads(self) -> set[str]:
        """That name."""
        return {self.name}


class EmbeddingSite(Site):
    """One lookup in a `torch.nn.Embedding`, or in a parameter. The range is that of the rows that are looked up: others have no say."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the categories `[rows]`, integers."""
        (index,) = args
        index = self._vector(index)
        rows = self.layer(context)(index) if self.spec.options is None else F.embedding(index, self._table(context))
        stored: Tensor = self.output(rows, self.protected(context))
        return context.keep(self.spec.name, stored)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The rows of the table of codes."""
        (index,) = args
        grid = self.output.grid()
        table = quantize(self._table(context), grid).codes
        return context.keep(self.spec.name, Codes(table[self._vector(index).long()], grid))

    def lower(self, context: Context, *args: tuple[str, int]) -> list[AnyOperation]:
        """One embedding; `args` is the name of the input and its column."""
        ((name, column),) = args
        grid = self.output.grid()
        codes = quantize(self._table(context), grid).codes.cpu().numpy().astype(CODES[grid.spec.code_type])
        embedding: Operation = Embedding(self.spec.name, name, grid, codes.shape[1], column, WeightCodes(grid.spec, codes))
        return [embedding]

    def lower_float(self, context: Context, *args: tuple[str, int]) -> list[AnyOperation]:
        """One embedding; `args` is the name of the input and its column."""
        ((name, column),) = args
        table = float_weight(self._table(context))
        return [FloatEmbedding(self.spec.name, name, table.shape[1], column, table)]

    def _table(self, context: Context) -> Tensor:
        """A row for each category."""
        if self.spec.options is None:
            return self.layer(context).weight  # type: ignore[no-any-return]
        return context.values[self.spec.options.name].flatten(1)  # type: ignore[no-any-return]

    def _vector(self, index: Tensor) -> Tensor:
        if index.dim() != 1:
            raise InputError(
                f"{self.spec.name!r} is called on categories of shape {tuple(index.shape)}; expected one for each row: take a column of "
                f"them in the forward, as x[:, 0] or x.squeeze(-1)"
            )
        return index


def embedding_problem(layer: Any) -> str | None:
    """Why an `Embedding` cannot be quantized, if so."""
    return None if layer.max_norm is None else "max_norm changes the table in the forward; expected max_norm=None"
