"""Lowerings of PyG's layers whose own forward no trace can follow, by family. Importing this registers them."""

from degreequant.nn.lowerings import polynomial, recurrent

__all__ = ["polynomial", "recurrent"]
