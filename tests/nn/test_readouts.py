"""Attention over the nodes of a graph, and what a graph has at its nodes: floats, the prepared model and the engine agree."""

from functools import cache

import nets
import numpy as np
import pytest
import readouts
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readouts import READOUTS, arguments
from torch_geometric.utils import to_dense_batch

import degreequant as dq
from degreequant.errors import ConvertError, InputError, PrepareError
from degreequant.nn.prepared import observe

INT8 = dq.Recipe.qat(8, ranges="minmax")
FINE = INT8.replace(activation_bits=16)


@cache
def trained(name, recipe):
    """The model after a few steps, in `eval()`, and its program; not to be changed."""
    torch.manual_seed(0)
    model = dq.prepare(READOUTS[name](), recipe, example_inputs=arguments(name))
    model = nets.train(model, **arguments(name), steps=2).eval()
    return model, dq.convert(model)


def engine_is_model(name, recipe, call, isa=None):
    model, program = trained(name, recipe)
    expected = nets.codes(model, **call)
    found = dq.Engine(program, threads=1, isa=isa).codes(**{entry.name: call[entry.name] for entry in program.inputs})
    assert list(found) == list(expected)
    for key, stored in expected.items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=f"{name}: {key}")


@pytest.mark.parametrize("name", READOUTS)
def test_codes_of_engine_and_model_are_identical(name, isa):
    engine_is_model(name, INT8, arguments(name, shuffle=True), isa)


@given(
    st.sampled_from(sorted(READOUTS)),
    st.lists(st.integers(0, 9), max_size=6),
    st.integers(0, 2**31),
    st.booleans(),
    st.sampled_from([3, 4, 8]),
)
@settings(max_examples=25)
def test_on_any_batch(name, sizes, seed, shuffle, bits):
    engine_is_model(name, dq.Recipe.qat(bits, ranges="minmax"), arguments(name, sizes, seed=seed, shuffle=shuffle))


@pytest.mark.parametrize("name", READOUTS)
def test_what_fine_grids_compute_is_close_to_floats(name):
    torch.manual_seed(0)
    twin = READOUTS[name]().eval()
    torch.manual_seed(0)
    model = dq.prepare(READOUTS[name](), FINE, example_inputs=arguments(name)).train()
    calls = [arguments(name), arguments(name, (1,)), arguments(name, (3, 0, 20), shuffle=True)]
    with torch.no_grad():
        for call in calls:
            observe(model, **call)
        for call in calls:
            expected, found = twin(**call), model.eval()(**call)
            assert float((found - expected).abs().max()) < 0.03 * float(expected.abs().max())


@pytest.mark.parametrize("name", READOUTS)
def test_fp32_is_the_original_and_every_parameter_has_a_gradient(name):
    torch.manual_seed(0)
    original = READOUTS[name]().train()
    prepared, exact = (dq.prepare(original, recipe, example_inputs=arguments(name)).train() for recipe in (INT8, dq.Recipe.fp32()))
    results = [model(**arguments(name)) for model in (original, exact, prepared)]
    assert torch.equal(*results[:2])
    for result in results:
        result.square().sum().backward()
    for path, parameter in original.named_parameters():
        assert (prepared.get_parameter(path).grad is None) == (parameter.grad is None), path


def test_shares_of_a_large_graph_do_not_vanish_beside_a_small_one():
    name, call = "a gate", arguments("a gate", (4000, 1))
    torch.manual_seed(0)
    model = READOUTS[name]().eval()
    qmodel = dq.calibrate(model, call, dq.Recipe.ptq(8, ranges="minmax"))
    with torch.no_grad():
        expected, found = model(**call), qmodel(**call)
    assert float((found - expected)[0].abs().max()) < 0.05 * float(expected.abs().max())


def test_a_program_in_float_has_no_softmax_over_nodes():
    with pytest.raises(ConvertError, match="'softmax' has no float form"):
        dq.convert(dq.prepare(readouts.Readout(readouts.weighed, conv=readouts.pyg.GCNConv), dq.Recipe.fp32()))


def test_features_of_graphs_are_as_many_as_the_graphs():
    call = arguments("features of graphs")
    engine = dq.Engine(trained("features of graphs", INT8)[1], threads=1)
    assert engine.program.inputs[1].role == "graph_features"
    with pytest.raises(InputError, match="joins rows of different numbers: 3 of u, 4 of batch"):
        engine(**call | {"u": call["u"][:3]})


REFUSED = {
    "rows of nodes": (lambda x, batch: x.relu()[batch], r"picks rows of nodes by an input of the model; .* u\[batch\]"),
    "a softmax of graphs": (lambda x, batch: softmax_of_graphs(x, batch), "is over rows of graphs; prepare takes the nodes of each graph"),
    "a number of graphs": (lambda x, batch: readouts.softmax(x, batch, num_nodes=4), r"expected softmax\(src, batch\)"),
    "a dense batch": (lambda x, batch: to_dense_batch(x, batch)[0].mean(1), r"to_dense_batch\(\) makes matrices .* one row for each"),
    "one step of a Set2Set": (readouts.pyg.aggr.Set2Set(readouts.WIDTH, 1), "a Set2Set is taken with .* two processing steps or more"),
}


def softmax_of_graphs(x, batch):
    return readouts.softmax(readouts.pyg.global_add_pool(x, batch), batch)


@pytest.mark.parametrize(("read", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_so_by_what_was_written(read, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(readouts.Readout(read), INT8)
