"""Inputs of the model: where floats become codes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from degreequant.errors import InputError, InputTypeError
from degreequant.memo import TensorMemo
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, FloatInput, FloatOperation, Quantize
from degreequant.quant.exact import Codes, quantize
from degreequant.quant.fake import ActivationQuantizer, unquantized_rows
from degreequant.quant.observers import INPUT_SAMPLE
from degreequant.scheme import Grid


class InputSite(Site):
    """Quantizes a float input of the model.

    Full-graph training reads the same features in every step. What follows from them alone, their range and their quantized values, is
    computed once and remembered while they stay the same: on a wide input it would be most of a step's work. So that nothing else has a
    say in it, and a resumed run repeats, that range is of all rows, protected or not, and its sample is always the same.

    The options of its `spec` are the number of channels, or None where a trace could not tell it.
    """

    channels: Tensor

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe, sample=INPUT_SAMPLE)
        self.register_buffer("channels", torch.tensor(0))
        self._memo = TensorMemo(capacity=1)
        self._width: int | None = spec.options

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the input `[rows, channels]`."""
        x = self._matrix(args[0])
        if x.dtype != torch.float32:
            raise InputTypeError(f"the input {self.spec.name!r} is {x.dtype}; expected torch.float32: call .float() on it")
        protected = self.protected(context)
        if self.training:
            self.channels.fill_(x.shape[-1])
        if x.requires_grad:
            stored: Tensor = self.output(x, protected)
            return context.keep(self.spec.name, stored)
        quantized = self._remembered(x)
        return context.keep(self.spec.name, unquantized_rows(quantized, x, protected))

    def exact(self, context: Context, *args: Any) -> Codes:
        """The input's codes."""
        x = self._matrix(args[0])
        grid = self.output.grid()
        known = self._memo.get("input", (x,), _Known)
        if known.codes is None or known.codes.grid != grid:
            known.codes = self._codes(x, grid)
        return context.keep(self.spec.name, known.codes)

    def lower(self, context: Context, *args: str | FloatOperation) -> list[AnyOperation]:
        """One quantization, of the input of that name or of what a float operation left."""
        (read,) = args
        name, grid = self.spec.name, self.output.grid()
        if isinstance(read, str):
            return [Quantize(name, read, grid, int(self.channels))]
        return [Quantize(name, read.name, grid, read.channels)]

    def lower_float(self, context: Context, *args: tuple[str, int]) -> list[AnyOperation]:
        """The input as it is given; `args` is its name and width."""
        ((name, channels),) = args
        return [FloatInput(self.spec.name, name, channels)]

    def _matrix(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and x.dim() == 1 and x.is_floating_point() and self.spec.rows == "edges":
            return x.unsqueeze(-1)
        if not isinstance(x, Tensor):
            raise InputError(f"the input {self.spec.name!r} is a {type(x).__name__}; expected a tensor (rows, channels)")
        if x.dim() != 2 or self._width not in (None, x.shape[1]):
            raise InputError(
                f"the input {self.spec.name!r} has shape {tuple(x.shape)}; expected a tensor (rows, {self._width or 'channels'})"
            )
        known = 0 if self.training else int(self.channels)
        if known and x.shape[1] != known:
            raise InputError(f"the input {self.spec.name!r} has {x.shape[1]} channels; expected {known}, as when its range was observed")
        if not x.is_floating_point():
            raise InputTypeError(f"the input {self.spec.name!r} is {x.dtype}; expected floating-point values: call .float() on it")
        return x

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.inference_mode(False)  # what is remembered must serve a later training forward too
    def _remembered(self, x: Tensor) -> Tensor:
        known, observer = self._memo.get("input", (x,), _Known), self.output.range
        if self.training and observer.is_pooling:
            observer.pool(x, generator=torch.Generator().manual_seed(0))
        elif self.training:
            if known.extent is None:
                known.extent = observer.measure(x, generator=torch.Generator().manual_seed(0))
            observer.include(known.extent)
        if x.device.type != "cpu" or not self.output.active:  # one kernel there, which is less than waiting for two numbers
            return self.output.fake_quantize(x)
        state = float(observer.low), float(observer.high)
        if known.floats is None or known.range != state:
            known.floats, known.range = self.output.fake_quantize(x), state
        return known.floats

    def _codes(self, x: Tensor, grid: Grid) -> Codes:
        if not bool(x.isfinite().all()):
            raise InputError(f"the input {self.spec.name!r} holds NaN or infinite values; expected finite features")
        return quantize(x, grid)


@dataclass
class _Known:
    """What is remembered of an input: what it spans, its fake-quantized values and the range in force for them, its codes."""

    extent: Tensor | None = None
    floats: Tensor | None = None
    range: tuple[float, float] | None = None
    codes: Codes | None = None
