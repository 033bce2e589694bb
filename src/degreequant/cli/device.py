"""The `--device` of commands that train."""

from degreequant.errors import EngineError


def check_device(device: str) -> None:
    """Nothing where `device` can be used.

    Raises:
        EngineError: If it is unknown, or this torch has none.
    """
    import torch

    if device not in ("cpu", "cuda"):
        raise EngineError(f"unknown device {device!r}; expected cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("this torch sees no CUDA device; expected one, or --device cpu")
