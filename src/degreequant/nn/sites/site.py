"""Sites: where quantization happens in a prepared model.

A prepared model keeps the user's layers as they are; beside each call of a layer (or of a function such as an addition) stands a site,
which computes that call quantized. The site owns the quantizers of the tensors that the call stores; the layer owns the weights. A layer
called twice has two sites: weights are shared, ranges are not.

A site says the same thing several times. `forward` is what training computes, on floats, with fake quantizers and protection. `exact` is
what the engine computes, on integer codes, to the bit. `lower` is the same as operations of a Program, and `lower_float` as float32
operations, of the layer as it is, with nothing quantized. All take the arguments of the call, in order: as float tensors, as codes, and as
the operations that store them; inputs without values (edges, the graph of each node) as they are given, and by name for `lower`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from degreequant.errors import ConvertError
from degreequant.memo import TensorMemo
from degreequant.nn.sites.activation import Activation
from degreequant.nn.sites.parts import Part
from degreequant.operations import AnyOperation, Rows
from degreequant.quant.exact import Codes
from degreequant.quant.grid import GridKind
from degreequant.recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What the sites of one forward share.

    Attributes:
        graphs: What is remembered of the graph.
        module: The user's module at a path.
        protected: The protected nodes of each set (bool `[nodes]`), as far as any are.
        stored: Where every stored tensor is put by name, when somebody asked for them.
        exact: Whether it computes on integer codes.
        values: The results of the forward so far by name; parts read those that follow from parameters.
    """

    graphs: TensorMemo
    module: Callable[[str], nn.Module]
    protected: Mapping[str, Tensor] = field(default_factory=dict)
    stored: dict[str, Any] | None = None
    exact: bool = False
    values: dict[str, Any] = field(default_factory=dict)

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
        path: Path of the layer, if it is one.
        parts: What directly follows and joins the accumulator: factors, addends, BatchNorms.
        activation: The activation that directly follows, if any.
        rows: What the rows of the stored tensor are.
        nodes: Of which set of nodes they are, where the model has several.
        options: What else the class of the site needs to know, a frozen value.
    """

    name: str
    recipe: Recipe
    kind: GridKind
    path: str = ""
    parts: tuple[Part, ...] = ()
    activation: Activation | None = None
    rows: Rows = "nodes"
    options: Any = None
    nodes: str = ""

    def protected(self, context: Context) -> Tensor | None:
        """The protected rows of the stored tensor, if any are."""
        return context.protected.get(self.nodes) if self.rows == "nodes" else None

    def reads(self) -> set[str]:
        """Names of the results, besides the arguments of the call, that the site reads: they follow from parameters."""
        of_parts = {part.value for part in self.parts if isinstance(part.value, str) and part.kind != "norm"}
        return of_parts | (self.options.reads() if hasattr(self.options, "reads") else set())


class Site(nn.Module):
    """The base of all sites; see the module's docstring.

    Attributes:
        keeps_width: Whether the stored tensor is as wide as the first argument.
        keeps_grid: Whether it is on the grid of the first argument.
    """

    keeps_width: ClassVar[bool] = False
    keeps_grid: ClassVar[bool] = False

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, context: Context, *args: Any) -> Tensor:
        """The training forward, on floats."""
        raise NotImplementedError

    def exact(self, context: Context, *args: Any) -> Codes:
        """The evaluation forward, on integer codes."""
        raise NotImplementedError

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """The operations that compute it; the last one stores the result."""
        raise NotImplementedError

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """The float32 operations that compute it; the last one stores the result.

        Raises:
            ConvertError: If the engine has no float form of it.
        """
        raise ConvertError(f"{self.spec.name!r} has no float form in the engine: quantize it, or run this part with torch")

    def width(self, context: Context, position: int) -> int | None:
        """How many channels argument `position` of the call has, where the layer says."""
        return None

    def layer(self, context: Context) -> Any:
        """The user's layer that it works for."""
        return context.module(self.spec.path)

    def protected(self, context: Context) -> Tensor | None:
        """The protected rows of what it stores."""
        return self.spec.protected(context)

    def extra_repr(self) -> str:
        """Name and fusion, for `print`."""
        parts = [str(part.value) if part.kind == "norm" else part.kind for part in self.spec.parts]
        return ", ".join([repr(self.spec.name), *parts, *([self.spec.activation.name] if self.spec.activation else [])])
