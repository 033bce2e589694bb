"""Channels of each row mixed by a matrix that follows from parameters."""

from torch import Tensor

from degreequant.nn.sites.channels import Chain
from degreequant.nn.sites.linear import LinearSite
from degreequant.nn.sites.site import Context, SiteSpec


class MixSite(LinearSite):
    """A chain of linear steps on channels, as one linear layer: its weight is the chain's matrix. Selections and sums have weights 0 and 1,
    which every grid holds."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.chain: Chain = spec.options

    def parameters_of(self, context: Context) -> tuple[Tensor, None]:
        """The chain's matrix `[outputs, inputs]`, and no bias."""
        return self.chain.matrix(context.values), None
