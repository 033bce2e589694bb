"""Every convolution of PyG: what is converted has the same codes in the model and in the engine; what is not is refused in one sentence."""

from functools import cache

import convolutions
import nets
import numpy as np
import pytest
import torch
from convolutions import CONVOLUTIONS
from hypothesis import given, settings
from hypothesis import strategies as st

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.prepared import observe
from degreequant.quant.fake import ActivationQuantizer

INT8 = dq.Recipe.qat(8, ranges="minmax")
FINE = INT8.replace(activation_bits=16)
REFUSED = {
    *("DNAConv", "GPSConv", "HypergraphConv"),
    *("MeshCNNConv", "PANConv", "PDNConv", "PPFConv", "WLConv"),
}
ELSEWHERE = {"DynamicEdgeConv", "GravNetConv", "SplineConv", "XConv"}
"""Whose functions PyG takes from packages that are not installed."""
CONVERTED = sorted(CONVOLUTIONS.keys() - REFUSED - ELSEWHERE)


def arguments(name, **options):
    """What the model around a convolution is called with."""
    inputs = convolutions.inputs(**options)
    return {key: inputs[key] for key in ("x", "edge_index", *CONVOLUTIONS[name].takes)}


@cache
def trained(name, recipe):
    """The model after a few steps, in `eval()`, and its program; not to be changed."""
    model = dq.prepare(CONVOLUTIONS[name].model(), recipe, example_inputs=arguments(name))
    model = nets.train(model, **arguments(name), steps=2).eval()
    return model, dq.convert(model)


def engine_is_model(name, recipe, isa=None, **options):
    model, program = trained(name, recipe)
    call = arguments(name, **options)
    expected = nets.codes(model, **call)
    found = dq.Engine(program, threads=1, isa=isa).codes(**{entry.name: call[entry.name] for entry in program.inputs})
    assert list(found) == list(expected)
    for key, stored in expected.items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=f"{name}: {key}")


@pytest.mark.parametrize("name", CONVERTED)
def test_codes_of_engine_and_model_are_identical(name, isa):
    engine_is_model(name, INT8, isa)


@given(st.sampled_from(CONVERTED), st.integers(0, 2**31), st.integers(1, 20), st.integers(0, 60), st.sampled_from([3, 4, 8]))
@settings(max_examples=25)
def test_on_any_graph(name, seed, nodes, edges, bits):
    engine_is_model(name, dq.Recipe.qat(bits, ranges="minmax"), seed=seed, nodes=nodes, edges=edges)


@pytest.mark.parametrize("name", CONVERTED)
def test_calibration_in_one_call(name):
    call = arguments(name)
    model = dq.calibrate(CONVOLUTIONS[name].model(), call)
    engine = dq.Engine(dq.convert(model), threads=1)
    expected, found = nets.codes(model, **call), engine.codes(**{entry.name: call[entry.name] for entry in engine.program.inputs})
    for key, stored in expected.items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=key)


def sinks(name):
    """Edges to the last nodes alone, which send none."""
    call = arguments(name)
    call["edge_index"] = torch.stack([call["edge_index"][0] % 6, call["edge_index"][1] % 6 + 6])
    return call


FORMS = {
    "usual": arguments,
    "no edges": lambda name: arguments(name, edges=0),
    "one node": lambda name: arguments(name, nodes=1, edges=2),
    "sinks": sinks,
}
"""Graphs of every kind; the usual one has duplicate edges, self loops and an isolated node."""


@pytest.mark.parametrize("name", CONVERTED)
def test_what_fine_grids_compute_is_close_to_floats(name):
    model = dq.prepare(CONVOLUTIONS[name].model(), FINE, example_inputs=arguments(name)).train()
    twin = CONVOLUTIONS[name].model().eval()
    with torch.no_grad():
        for form in FORMS.values():
            observe(model, **form(name))
        twin.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith("dq_sites")})
        results = {form: (twin(**make(name)), model.eval()(**make(name))) for form, make in FORMS.items()}
    largest = float(results["usual"][0].abs().max())
    for form, (expected, found) in results.items():
        assert float((found - expected).abs().max()) < 0.04 * max(largest, float(expected.abs().max())), form


@pytest.mark.parametrize("name", CONVERTED)
def test_every_quantizer_sees_data_and_every_parameter_a_gradient(name):
    original = CONVOLUTIONS[name].model().train()
    original(**arguments(name)).square().sum().backward()
    model = dq.prepare(CONVOLUTIONS[name].model(), INT8, example_inputs=arguments(name)).train()
    model(**arguments(name)).square().sum().backward()
    unseen = [part.name for part in model.modules() if isinstance(part, ActivationQuantizer) and not part.range.low <= part.range.high]
    assert not unseen
    for path, parameter in original.named_parameters():
        assert (model.get_parameter(path).grad is None) == (parameter.grad is None), path


@pytest.mark.parametrize("name", CONVERTED)
def test_fp32_is_the_original(name):
    model = CONVOLUTIONS[name].model()
    prepared = dq.prepare(model, dq.Recipe.fp32(), example_inputs=arguments(name))
    for training in (True, False):
        outputs = []
        for twin in (model.train(training), prepared.train(training)):
            torch.manual_seed(0)
            outputs.append(twin(**arguments(name)))
        assert torch.equal(*outputs)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_why_in_one_sentence(name):
    with pytest.raises(PrepareError) as refusal:
        dq.prepare(CONVOLUTIONS[name].model(), INT8, example_inputs=arguments(name))
    said = str(refusal.value)
    assert "\n" not in said.strip()
    assert not any(word in said for word in ("Proxy", "Symbol", "torch.fx")), said
