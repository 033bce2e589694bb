"""Lowerings of layers whose own forward no trace can follow, or has no integer form as it is, by family. Importing this registers them."""

from degreequant.nn.lowerings import aggregations, convolutions, heterogeneous, norms, polynomial, recurrent, refused

__all__ = ["aggregations", "convolutions", "heterogeneous", "norms", "polynomial", "recurrent", "refused"]
