"""How far the training forward strays from the integers: promised to be reported, not hidden."""

from typing import Any

import torch

from degreequant.nn.prepared import PreparedModel, stored_codes, stored_floats


def training_gap(model: PreparedModel, *args: Any, **kwargs: Any) -> dict[str, float]:
    """For each stored tensor the share of codes that torch's fake quantization, on floats, gets otherwise than the exact integers.

    Both forwards run in evaluation: ranges frozen, no dropout, no protection. Arguments are the forward's.
    """
    floats = stored_floats(model, *args, **kwargs)
    shares = {}
    for name, exact in stored_codes(model, *args, **kwargs).items():
        codes = torch.round(floats[name] / exact.grid.scale) + exact.grid.zero_point
        shares[name] = float((codes != exact.codes).float().mean()) if codes.numel() else 0.0
    return shares
