"""How far the integers stray from the float model with the same weights, node by node, beside the node's in-degree."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch_geometric.data import Data

from degreequant.nn.prepared import PreparedModel, evaluating, original_class
from degreequant.program import Program
from degreequant.runtime.engine import Engine


class DegreeError(NamedTuple):
    """In-degree and error of each node."""

    degree: npt.NDArray[np.int64]
    error: npt.NDArray[np.float64]


def degree_error(model: nn.Module, program: Program, data: Data) -> DegreeError:
    """The mean absolute difference of a node's outputs, engine against the unquantized forward of the prepared model's own weights."""
    assert isinstance(model, PreparedModel)
    with evaluating(model), torch.no_grad():
        exact = original_class(model).forward(model, data.x, data.edge_index).double().numpy()
    error = np.abs(Engine(program)(data.x, data.edge_index) - exact).mean(axis=1)
    return DegreeError(np.bincount(data.edge_index[1].numpy(), minlength=data.num_nodes), error)
