"""Arguments that are a `HeteroData`: what they hold, as the dictionaries by type that PyG's models take."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch_geometric.data import HeteroData

Dictionaries = Mapping[str, Mapping[Any, Any]]
"""Values by type of node or by relation, by the name that `HeteroData` gives the dictionary: `x_dict`, `edge_index_dict`."""


def dictionaries_of(data: HeteroData) -> dict[str, dict[Any, Any]]:
    """The tensors and the numbers that a data object holds.

    >>> data = HeteroData({"paper": {"x": 1}, ("paper", "cites", "paper"): {"edge_index": 2}})
    >>> dictionaries_of(data)
    {'x_dict': {'paper': 1}, 'edge_index_dict': {('paper', 'cites', 'paper'): 2}}
    """
    found: dict[str, dict[Any, Any]] = {}
    for store in (*data.node_stores, *data.edge_stores):
        for name, value in store.items():
            if isinstance(value, Tensor) or type(value) is int:
                found.setdefault(f"{name}_dict", {})[store._key] = value
    return found


def data_of(dictionaries: Dictionaries) -> HeteroData:
    """The data object that holds these values, whatever they are."""
    data = HeteroData()
    for name, values in dictionaries.items():
        for key, value in values.items():
            data[key][name.removesuffix("_dict")] = value
    return data
