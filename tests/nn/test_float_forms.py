"""`convert` of a model that was prepared with `Recipe.fp32()`: float32 operations of the same names, which answer what the model does."""

import numpy as np
import pytest
import torch
import trials
from family import FAMILY
from torch import nn
from torch_geometric.nn import GINConv, LayerNorm
from worlds import WORLDS

import degreequant as dq
from degreequant.errors import ConvertError
from degreequant.operations import FloatOperation

WITHOUT_WIDTH = {"GAT: edges that are not read", "inputs: two inputs"}
"""Models with an input of which no layer says how wide it is."""


@pytest.mark.parametrize("name", [name for name in FAMILY if name not in WITHOUT_WIDTH])
def test_the_engine_answers_what_the_model_does(name, isa):
    model = trials.prepared(name, dq.Recipe.fp32()).eval()
    engine = dq.Engine(dq.convert(model), threads=2, isa=isa)
    assert all(isinstance(operation, FloatOperation) for operation in engine.program.operations)
    for world in ("usual", "shuffled", "one node", "no edges", "only loops"):
        given = trials.arguments(name, WORLDS[world])
        inputs = {entry.name: WORLDS[world][entry.name] for entry in engine.program.inputs}
        with torch.no_grad():
            expected = model(**given).numpy()
        found = engine(**inputs)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, abs(expected).max(initial=0)), err_msg=world)


SHAPES = ("GAT: edges, mean of loops", "norm: after linear", "whole: PyG's GIN", "joined: residual", "inputs: two embeddings")


@pytest.mark.parametrize("name", SHAPES)
def test_a_float_program_has_the_shape_and_names_of_the_integer_one(name):
    floats, integers = dq.convert(trials.prepared(name, dq.Recipe.fp32())), trials.program(name, trials.INT8)
    assert [operation.name for operation in floats.operations] == [operation.name for operation in integers.operations]
    assert [operation.tensors() for operation in floats.operations] == [operation.tensors() for operation in integers.operations]
    assert floats.inputs == integers.inputs


def test_a_float_program_is_saved_and_shown(tmp_path):
    name = "GAT: edges, loops of a number"
    model = trials.prepared(name, dq.Recipe.fp32()).eval()
    dq.convert(model).save(tmp_path / "float.dq")
    program = dq.Program.load(tmp_path / "float.dq")
    assert program.float_parts == [operation.name for operation in program.operations]
    assert not dq.Engine(program).codes(**{entry.name: WORLDS["usual"][entry.name] for entry in program.inputs})


def test_results_depend_on_neither_instruction_set_nor_threads():
    for name in ("whole: PyG's GAT", "whole: loop", "active: activations behind layers"):
        program = dq.convert(trials.prepared(name, dq.Recipe.fp32()))
        inputs = {entry.name: WORLDS["usual"][entry.name] for entry in program.inputs}
        answers = [dq.Engine(program, isa=isa, threads=threads)(**inputs) for isa in dq.available_isas() for threads in (1, 3)]
        for answer in answers[1:]:
            np.testing.assert_array_equal(answer, answers[0])


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.conv = LayerNorm(5), GINConv(nn.Linear(5, 2))

    def forward(self, x, edge_index):
        return self.conv(self.norm(x), edge_index)


class Untold(nn.Module):
    def forward(self, x, y):
        return x + y


def test_what_has_no_float_form_is_named():
    with pytest.raises(ConvertError, match=r"float forms of what prepare can quantize.*module 'norm' is a LayerNorm"):
        dq.convert(dq.prepare(Unknown(), dq.Recipe.fp32()))
    with pytest.raises(ConvertError, match="no layer says how many channels the input 'x' has"):
        dq.convert(dq.prepare(Untold(), dq.Recipe.fp32()))
