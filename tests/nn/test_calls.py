"""What a model may be called with, and what a call that does not fit is told."""

import nets
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_geometric.data import Data

import degreequant as dq
from degreequant.errors import DegreeQuantError, InputError, InputTypeError, PrepareError

X, EDGES = nets.graph()
DATA = Data(x=X, edge_index=EDGES)
INT8 = dq.Recipe.qat(8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = pyg.SAGEConv(5, 8), nn.Linear(8, 3)

    def forward(self, x, edge_index):
        return self.head(self.conv(x, edge_index).relu())


def spoiled(value):
    x = X.clone()
    x[1, 2] = value
    return x


WRONG_DATA = {
    "nothing": (None, InputTypeError, "the data is of type NoneType; expected a Data or HeteroData, a dict"),
    "a number": (3, InputTypeError, "the data is of type int"),
    "a string": ("cora", InputTypeError, "the data is of type str"),
    "an empty iterable": ([], PrepareError, "got no data to call the model with"),
    "nothing in a list": ([DATA, None], InputTypeError, "batch 1 of the data is of type NoneType"),
    "features alone": (X, InputTypeError, r"the forward takes \(x, edge_index\); missing: edge_index"),
    "no edges by name": ({"x": X}, InputTypeError, "missing: edge_index"),
    "no edges in an object": (Data(x=X), InputTypeError, "missing: edge_index"),
    "too many": ((X, EDGES, EDGES), PrepareError, "has 3 values; the forward takes 2"),
    "too narrow": ((X[:, :3], EDGES), PrepareError, "has 'x' with 3 channels, and a layer that reads it takes 5"),
    "too narrow, the second": ([(X, EDGES), (X[:, :3], EDGES)], InputError, r"'x' has shape \(\d+, 3\); expected a tensor \(rows, 5\)"),
    "NaN": ((spoiled(torch.nan), EDGES), InputError, "the input 'x' holds NaN or infinite values"),
    "infinite": (Data(x=spoiled(-torch.inf), edge_index=EDGES), InputError, "the input 'x' holds NaN or infinite values"),
    "integers": ((X.long(), EDGES), InputTypeError, r"'x' is torch.int64; expected floating-point values"),
    "doubles": ((X.double(), EDGES), InputTypeError, r"'x' is torch.float64; expected torch.float32"),
    "numpy": ((X.numpy(), EDGES.numpy()), InputTypeError, "x is of type ndarray; expected a tensor"),
}


@pytest.mark.parametrize(("data", "error", "message"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_that_cannot_be_calibrated_on_says_why(data, error, message):
    with pytest.raises(error, match=message) as raised:
        dq.calibrate(Net(), data)
    assert isinstance(raised.value, DegreeQuantError)


WRONG_EXAMPLES = {
    "a number": (5, "example_inputs is of type int; expected a Data or HeteroData, a dict"),
    "a string": ("cora", "example_inputs is of type str"),
    "a loader": (DataLoader([DATA]), "example_inputs is of type DataLoader"),
}


@pytest.mark.parametrize(("example", "message"), WRONG_EXAMPLES.values(), ids=WRONG_EXAMPLES)
def test_an_example_is_one_call(example, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(Net(), INT8, example_inputs=example)


@pytest.mark.parametrize(
    "example", [DATA, X, [X, EDGES], (X, EDGES), {"x": X}], ids=["an object", "a tensor", "a list", "a tuple", "by name"]
)
def test_an_example_may_be_given_as_calls_are(example):
    assert dq.prepare(Net(), INT8, example_inputs=example)(X, EDGES).shape == (len(X), 3)


@pytest.mark.parametrize("batches", [-1, 0, 1.5, True, "all"])
def test_a_number_of_batches_is_one(batches):
    with pytest.raises(InputTypeError, match="expected a number of batches"):
        dq.calibrate(Net(), [DATA], batches=batches)


def test_lists_of_tensors_are_calls_by_position():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.first(x).relu())

    model = dq.calibrate(Rows(), DataLoader(TensorDataset(X), batch_size=10))
    assert dq.Engine(dq.convert(model))(X).shape == (len(X), 3)


WRONG_CALLS = {
    "too few": (((X,), {}), r"the forward takes \(x, edge_index\); missing: edge_index"),
    "too many": (((X, EDGES, EDGES), {}), "too many by position: 2"),
    "unknown": (((X, EDGES), {"edges": EDGES}), "unknown: edges"),
    "twice": (((X, EDGES), {"x": X}), "given twice: x"),
    "an object": (((DATA,), {}), "missing: edge_index"),
    "a string": ((("x", EDGES), {}), "x is of type str"),
    "a loader for a tensor": (((DataLoader([DATA]), EDGES), {}), "x is of type DataLoader; expected a tensor: call the model on one batch"),
    "an object for a tensor": (((DATA, EDGES), {}), "x is of type Data; expected a tensor"),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("call", "message"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_calls_of_a_prepared_model_that_do_not_fit(call, message, training):
    model = dq.calibrate(Net(), DATA).train(training)
    with pytest.raises(InputTypeError, match=message):
        model(*call[0], **call[1])


class OnData(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = pyg.GCNConv(5, 3)

    def forward(self, data):
        return self.conv(data.x, data.edge_index)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("given", [X, [DATA], DataLoader([DATA])], ids=["a tensor", "a list", "a loader"])
def test_a_model_on_data_objects_takes_nothing_else(given, training):
    model = dq.calibrate(OnData(), DATA).train(training)
    with pytest.raises(InputTypeError, match=f"data is of type {type(given).__name__} and has no (x|edge_index), which the forward reads"):
        model(given)


@pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8])
def test_missing_arguments_are_type_errors_as_pythons_own(recipe):
    with pytest.raises(TypeError, match="missing: edge_index"):
        dq.prepare(Net(), recipe)(X)


def test_an_engine_takes_the_object_that_holds_its_inputs():
    engine = dq.Engine(dq.convert(dq.calibrate(Net(), DATA)), threads=1)
    np.testing.assert_array_equal(engine(DATA), engine(X, EDGES))
    with pytest.raises(InputError, match="missing edge_index"):
        engine(Data(x=X))
