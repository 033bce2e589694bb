"""Sites: where quantization happens in a prepared model.

A prepared model keeps the user's layers as they are; beside each call of a layer stands a site, which computes that call quantized. The
site owns the quantizers of the tensors that the call stores; the layer owns the weights. A layer called twice has two sites: weights are
shared, ranges are not.

A site has two forwards. `forward` is what training computes, on floats, with fake quantizers and protection. `exact` is what the engine
computes, on integer codes, to the bit. Both get the layer and the step's arguments in the order of the layer's own forward.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degreequant.errors import InputError
from degreequant.memo import TensorMemo
from degreequant.quant.exact import Codes, quantize
from degreequant.quant.fake import ActivationQuantizer
from degreequant.quant.grid import GridKind
from degreequant.quant.observers import INPUT_SAMPLE
from degreequant.scheme import Grid, Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What the sites of one forward share.

    Attributes:
        graphs: What is remembered of the graph.
        protected: The protected nodes (bool `[nodes]`), or none.
        stored: Where every stored tensor is put by name, when somebody asked for them.
        exact: Whether it computes on integer codes.
    """

    graphs: TensorMemo
    protected: Tensor | None = None
    stored: dict[str, Any] | None = None
    exact: bool = False

    def keep(self, name: str, value: T) -> T:
        """`value`, noted as what is stored under `name`."""
        if self.stored is not None:
            self.stored[name] = value
        return value


@dataclass(frozen=True)
class SiteSpec:
    """What `prepare` has decided for a site.

    Attributes:
        name: Name of the stored tensor, as the Program will call it.
        recipe: The settings in force here.
        kind: Grid of the stored tensor.
        relu: Whether a ReLU directly follows and is done by the clamp.
    """

    name: str
    recipe: Recipe
    kind: GridKind
    relu: bool = False


class Site(nn.Module):
    """The base of all sites; see the module's docstring."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, layer: nn.Module | None, context: Context, *args: Any) -> Tensor:
        """The training forward, on floats."""
        raise NotImplementedError

    def exact(self, layer: nn.Module | None, context: Context, *args: Any) -> Codes:
        """The evaluation forward, on integer codes."""
        raise NotImplementedError

    def width(self, layer: Any) -> int:
        """Channels of the features that the layer reads."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Name and fusion, for `print`."""
        return f"{self.spec.name!r}{', relu' if self.spec.relu else ''}"


class InputSite(Site):
    """Quantizes a float input of the model.

    Full-graph training reads the same features in every step. What follows from them alone, their range and their quantized values, is
    computed once and remembered while they stay the same: on a wide input it would be most of a step's work. So that nothing else has a
    say in it, and a resumed run repeats, that range is of all rows, protected or not, and its sample is always the same.
    """

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe, sample=INPUT_SAMPLE)
        self._memo = TensorMemo(capacity=1)

    def forward(self, layer: nn.Module | None, context: Context, *args: Any) -> Tensor:
        """`args` is the input `[nodes, channels]`."""
        (x,) = args
        if x.requires_grad:
            stored: Tensor = self.output(x, context.protected)
            return context.keep(self.spec.name, stored)
        quantized = self._remembered(x)
        return context.keep(
            self.spec.name, quantized if context.protected is None else torch.where(context.protected.unsqueeze(-1), x, quantized)
        )

    def exact(self, layer: nn.Module | None, context: Context, *args: Any) -> Codes:
        """The input's codes."""
        (x,) = args
        grid = self.output.grid()
        known = self._memo.get("input", (x,), _Known)
        if known.codes is None or known.codes.grid != grid:
            known.codes = self._codes(x, grid)
        return context.keep(self.spec.name, known.codes)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.inference_mode(False)  # what is remembered must serve a later training forward too
    def _remembered(self, x: Tensor) -> Tensor:
        known, observer = self._memo.get("input", (x,), _Known), self.output.range
        if self.training:
            known.extent = known.extent or observer.measure(x, generator=torch.Generator(x.device).manual_seed(0))
            observer.include(*known.extent)
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

    extent: tuple[Tensor, Tensor] | None = None
    floats: Tensor | None = None
    range: tuple[float, float] | None = None
    codes: Codes | None = None


class ReluSite(Site):
    """A ReLU on a tensor that is stored anyway: the codes below the zero point become the zero point."""

    def forward(self, layer: nn.Module | None, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor."""
        return context.keep(self.spec.name, F.relu(args[0]))

    def exact(self, layer: nn.Module | None, context: Context, *args: Any) -> Codes:
        """The codes on the same grid."""
        (x,) = args
        return context.keep(self.spec.name, Codes(x.codes.clamp(min=x.grid.zero_point), x.grid))
