"""PyTorch Geometric, imported when it is first needed: listing the data sets stays fast, and works without torch."""

import warnings
from typing import Any

from degreequant.errors import MissingExtraError


def pyg() -> Any:
    """The `torch_geometric` package.

    Raises:
        MissingExtraError: If PyTorch or PyTorch Geometric is not installed.
    """
    try:
        with warnings.catch_warnings():
            # PyG 2.8 scripts a class while it is imported, which torch 2.13 deprecates.
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
            import torch_geometric
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"data sets need {error.name}; install it with: pip install 'degreequant[train]'") from None
    return torch_geometric
