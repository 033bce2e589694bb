"""Results that are not stored yet, because what reads them may compute them as a part of itself: channels moved about, features gathered to
edges, gathered features times the weights of edges."""

from dataclasses import dataclass

from degreequant.nn.rewriting.structure import Looped, Normed
from degreequant.nn.sites.channels import Chain
from degreequant.nn.sites.pointwise import Pointwise
from degreequant.nn.tracing.references import Ref


@dataclass(frozen=True)
class Gathered:
    """`x`, a stored tensor, at one end of edges."""

    x: str
    edges: str
    end: int


@dataclass(frozen=True)
class Weighed:
    """Gathered features times weights of the edges: an input, or normalized coefficients."""

    gathered: Gathered
    weight: Ref | Normed


@dataclass(frozen=True)
class EdgeScalars:
    """Weights of edges as a factor `[edges, 1]`: an input, or normalized coefficients."""

    weight: Ref | Normed


@dataclass(frozen=True)
class Maximum:
    """The largest of `x` along a dimension, with the positions: a pair, of which only the first is taken."""

    x: Ref
    dim: int


Lazy = Chain | Pointwise | Gathered | Weighed | EdgeScalars | Looped | Maximum
