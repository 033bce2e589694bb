"""BatchNorm: folded into the accumulator that it follows, or a rescaling of its own where it follows none."""

from typing import Any

import torch_geometric.nn
from torch import nn

from degreequant.nn.sites.affine import AffineSite
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.site import Context, SiteSpec

NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, torch_geometric.nn.BatchNorm)


class NormSite(AffineSite):
    """A BatchNorm on a stored tensor."""

    def own_parts(self, spec: SiteSpec) -> tuple[Part, ...]:
        """The BatchNorm."""
        return (Part("norm", spec.path),)

    def width(self, context: Context, position: int) -> int | None:
        """The channels of the statistics."""
        norm: Any = self.layer(context)
        return len(getattr(norm, "module", norm).running_mean)
