"""The paper's larger models on its real data: trained for a few steps, converted, and the integers are those of the model."""

from functools import cache

import numpy as np
import pytest
import torch

import degreequant as dq
from degreequant.data import available, find
from degreequant.experiments.protocol import protocol
from degreequant.nn.prepared import stored_codes
from degreequant.train.architectures import Architecture
from degreequant.train.task import GraphTask

MODELS = [("zinc", "gcn"), ("zinc", "gat"), ("zinc", "gin"), pytest.param("reddit-binary", "gin", marks=pytest.mark.slow)]
EXAMPLES = 16


@cache
def graphs_of(dataset):
    return GraphTask(find(dataset).load())


def trained(task, dataset, arch, recipe):
    """The model of the paper after a few steps on small batches."""
    torch.manual_seed(0)
    usual = protocol(find(dataset), arch)
    built = Architecture(usual.architecture, task.in_channels, usual.hidden_channels, task.out_channels, usual.dropout).build()
    model = dq.prepare(built, recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = task.shuffled(EXAMPLES, torch.Generator().manual_seed(0))
    for _, example in zip(range(4), batches, strict=False):
        optimizer.zero_grad()
        task.objective.loss(example.predict(model.train()), example.target).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("dataset", "arch"), MODELS)
def test_the_integers_of_the_papers_models(dataset, arch, bits, isa):
    if not available(dataset):
        pytest.skip(f"{dataset} is not at hand: set DEGREEQUANT_DATA")
    task = graphs_of(dataset)
    model = trained(task, dataset, arch, dq.Recipe.degree_quant(bits))
    program = dq.convert(model)
    assert program.float_parts == []
    example = next(task.shuffled(EXAMPLES, torch.Generator().manual_seed(1)))
    codes = dq.Engine(program, isa=isa).codes(**example.inputs)
    expected = stored_codes(model, **example.inputs)
    assert list(codes) == list(expected)
    for name, stored in expected.items():
        np.testing.assert_array_equal(codes[name], stored.codes.numpy(), err_msg=name)
    output = torch.from_numpy(dq.Engine(program, isa=isa)(**example.inputs))
    with torch.no_grad():
        of_model = task.objective.total(example.predict(model), example.target)
    assert float(task.objective.total(output, example.target)) == pytest.approx(float(of_model), rel=1e-6)
