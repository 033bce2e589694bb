"""A `.dq` file with a right checksum over a structure that is no program is refused with a `ProgramError` that names the file."""

import json
import warnings

import numpy as np
import programs
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

import degreequant as dq
from degreequant.errors import ProgramError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.dq"


GCN = programs.gcn(weighted=True).to_bytes()
LINEAR = programs.one_linear().to_bytes()


def changed(change, data=GCN):
    """The file after `change(structure, arrays)`, with a right checksum."""
    structure, arrays = programs.open_file(data)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(structure, arrays)
    return programs.forge(structure, arrays)


def put(*keys, value):
    """A change that puts `value` at `keys` of the structure."""

    def change(structure, arrays):
        for key in keys[:-1]:
            structure = structure[key]
        structure[keys[-1]] = value

    return change


def drop(*keys):
    def change(structure, arrays):
        for key in keys[:-1]:
            structure = structure[key]
        del structure[keys[-1]]

    return change


def array(name, replace):
    def change(structure, arrays):
        arrays[name] = replace(arrays[name])

    return change


HUGE = 10**400
OPERATION = ("operations", 1)
STRUCTURES = {
    "unknown kind": put(*OPERATION, "kind", value="conv3d"),
    "kind is a list": put(*OPERATION, "kind", value=["linear"]),
    "kind of another operation": put(*OPERATION, "kind", value="relu"),
    "newer operation": put(*OPERATION, "version", value=2),
    "version is true": put(*OPERATION, "version", value=True),
    "version is 1.0": put(*OPERATION, "version", value=1.0),
    "extra field": put(*OPERATION, "bias", value=1),
    "missing field": drop(*OPERATION, "input"),
    "missing name": drop(*OPERATION, "name"),
    "missing kind": drop(*OPERATION, "kind"),
    "missing operations": drop("operations"),
    "missing source": drop("source"),
    "operations is null": put("operations", value=None),
    "operations is an object": put("operations", value={"a": 1}),
    "operation is a list": put(*OPERATION, value=[]),
    "operation is a text": put(*OPERATION, value="relu"),
    "inputs is a number": put("inputs", value=3),
    "source is a list": put("source", value=[1]),
    "source holds numbers": put("source", value={"a": 1}),
    "output is null": put("output", value=None),
    "output is a list": put("output", value=["conv2"]),
    "epilogue is a list": put("epilogue", value=[]),
    "epilogue is unknown": put("epilogue", value="tanh"),
    "extra top-level key": put("more", value=1),
    "role is a list": put("inputs", 0, "role", value=[]),
    "channels is a float": put(*OPERATION, "channels", value=5.0),
    "channels is true": put(*OPERATION, "channels", value=True),
    "channels is a text": put(*OPERATION, "channels", value="5"),
    "channels is huge": put(*OPERATION, "channels", value=HUGE),
    "channels is negative": put(*OPERATION, "channels", value=-5),
    "input is huge": put("inputs", 0, "channels", value=HUGE),
    "name is a number": put(*OPERATION, "name", value=1),
    "name is null": put(*OPERATION, "name", value=None),
    "name is half a character": put("operations", 0, "name", value="\ud800"),
    "input name is half a character": put("inputs", 0, "name", value="\udfff"),
    "scale is NaN": put(*OPERATION, "grid", "scale", value=float("nan")),
    "scale is infinite": put(*OPERATION, "grid", "scale", value=float("inf")),
    "scale is negative": put(*OPERATION, "grid", "scale", value=-0.5),
    "scale is zero": put(*OPERATION, "grid", "scale", value=0),
    "scale is huge": put(*OPERATION, "grid", "scale", value=HUGE),
    "scale is a text": put(*OPERATION, "grid", "scale", value="0.5"),
    "scale is true": put(*OPERATION, "grid", "scale", value=True),
    "zero point off the grid": put("operations", 0, "grid", "zero_point", value=16),
    "zero point is huge": put("operations", 0, "grid", "zero_point", value=-HUGE),
    "zero point is a float": put("operations", 0, "grid", "zero_point", value=3.0),
    "grid is null": put(*OPERATION, "grid", value=None),
    "grid is a list": put(*OPERATION, "grid", value=[1, 2]),
    "bits is 9": put(*OPERATION, "grid", "spec", "bits", value=9),
    "bits is 0": put(*OPERATION, "grid", "spec", "bits", value=0),
    "bits is huge": put(*OPERATION, "grid", "spec", "bits", value=HUGE),
    "bits is 4.0": put(*OPERATION, "grid", "spec", "bits", value=4.0),
    "signed is 1": put(*OPERATION, "grid", "spec", "signed", value=1),
    "weight is null": put(*OPERATION, "weight", value=None),
    "weight is true": put(*OPERATION, "weight", value=True),
    "weight of 8 bits stored in 4": put(*OPERATION, "weight", "spec", "bits", value=8),
    "unsigned weight": put(*OPERATION, "weight", "spec", "signed", value=False),
    "too few columns": put(*OPERATION, "weight", "columns", value=3),
    "too many columns": put(*OPERATION, "weight", "columns", value=5),
    "negative columns": put(*OPERATION, "weight", "columns", value=-4),
    "huge columns": put(*OPERATION, "weight", "columns", value=HUGE),
    "columns is a float": put(*OPERATION, "weight", "columns", value=4.0),
    "columns is true": put(*OPERATION, "weight", "columns", value=True),
    "columns is a text": put(*OPERATION, "weight", "columns", value="4"),
    "weight without columns": drop(*OPERATION, "weight", "columns"),
    "weight with more": put(*OPERATION, "weight", "more", value=1),
    "mantissa is a number": put(*OPERATION, "requantize", "mantissa", value=5),
    "mantissa is null": put(*OPERATION, "requantize", "mantissa", value=None),
    "mantissa is false": put(*OPERATION, "requantize", "mantissa", value=False),
    "addend is a list": put(*OPERATION, "requantize", "addend", value=[0, 0, 0, 0, 0]),
    "norm is a text": put("operations", 2, "norm", value="both"),
    "normalize is 1": put("operations", 2, "norm", "normalize", value=1),
    "edge_weight is false": put("operations", 2, "edge_weight", value=False),
    "edges are no input": put("operations", 2, "edge_index", value="conv1.lin"),
    "edges are the weights": put("operations", 2, "edge_index", value="edge_weight"),
    "reads what comes later": put("operations", 1, "input", value="conv2"),
    "reads itself": put("operations", 1, "input", value="conv1.lin"),
    "reads nothing": put("operations", 1, "input", value="nothing"),
    "two of one name": put("operations", 3, "name", value="conv1"),
    "two inputs of one name": put("inputs", 2, "name", value="x"),
    "relu changes the grid": put("operations", 3, "grid", "scale", value=0.5),
    "reverse order": lambda structure, arrays: structure["operations"].reverse(),
    "unused array": lambda structure, arrays: arrays.update(spare=np.zeros(3)),
    "missing array": lambda structure, arrays: arrays.pop("conv1.lin.weight.codes"),
    "missing mantissa": lambda structure, arrays: arrays.pop("conv1.lin.requantize.mantissa"),
    "no arrays": lambda structure, arrays: arrays.clear(),
    "float mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.float32)),
    "int64 mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.int64)),
    "bool mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(bool)),
    "uint32 mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.uint32)),
    "half float mantissa": array("conv1.lin.requantize.mantissa", lambda a: np.ones_like(a, np.float16)),
    "mantissa -2^31": array("conv1.lin.requantize.mantissa", lambda a: np.full_like(a, -(2**31))),
    "mantissa matrix": array("conv1.lin.requantize.mantissa", lambda a: a[None]),
    "no mantissa at all": array("conv1.lin.requantize.mantissa", lambda a: a[:0]),
    "short shift": array("conv1.lin.requantize.shift", lambda a: a[:-1]),
    "shift too large": array("conv1.lin.requantize.shift", lambda a: np.full_like(a, 4097)),
    "shift too small": array("conv1.lin.requantize.shift", lambda a: np.full_like(a, -(2**31))),
    "addend too large": array("conv1.lin.requantize.addend", lambda a: np.full_like(a, 2**30 + 1)),
    "addend too small": array("conv1.lin.requantize.addend", lambda a: np.full_like(a, -(2**31))),
    "long addend": array("conv1.lin.requantize.addend", lambda a: np.append(a, a)),
    "code off the grid": array("conv1.lin.weight.codes", lambda a: np.full_like(a, 0x88)),
    "codes of int8": array("conv1.lin.weight.codes", lambda a: a.astype(np.int8)),
    "codes of float": array("conv1.lin.weight.codes", lambda a: a.astype(np.float64)),
    "flat codes": array("conv1.lin.weight.codes", lambda a: a.ravel()),
    "scalar codes": array("conv1.lin.weight.codes", lambda a: np.array(0, np.uint8)),
    "codes of no outputs": array("conv1.lin.weight.codes", lambda a: a[:0]),
    "one output fewer": array("conv1.lin.weight.codes", lambda a: a[:-1].copy()),
}


PARTLY_FLOAT = programs.partly_float().to_bytes()
FLOAT_STRUCTURES = {
    "weight of int8": array("conv.lin.float.weight", lambda a: a.astype(np.int8)),
    "weight of float64": array("conv.lin.float.weight", lambda a: a.astype(np.float64)),
    "weight transposed": array("conv.lin.float.weight", lambda a: a.T.copy()),
    "weight with a NaN": array("conv.lin.float.weight", lambda a: a * np.float32(np.nan)),
    "infinite bias": array("head.float.bias", lambda a: a * np.float32(np.inf)),
    "short bias": array("conv.float.bias", lambda a: a[:-1].copy()),
    "no weight": put("operations", 1, "weight", value=None),
    "weight is a number": put("operations", 1, "weight", value=1.5),
    "more channels": put("operations", 1, "channels", value=6),
    "no channels": put("operations", 0, "channels", value=0),
    "float input of edges": put("operations", 0, "input", value="edge_index"),
    "float input of no input": put("operations", 0, "input", value="conv.float"),
    "float layer on an input": put("operations", 1, "input", value="x"),
    "integers on floats": put("operations", 5, "input", value="relu.float"),
    "quantizes integers": put("operations", 4, "input", value="fc"),
    "quantizes what comes later": put("operations", 4, "input", value="head.float"),
    "relu of another width": put("operations", 3, "channels", value=4),
    "float sum over the features": put("operations", 2, "edge_index", value="x"),
}


@pytest.mark.parametrize("name", FLOAT_STRUCTURES)
def test_nonsense_in_float(name, path):
    programs.refused(path, changed(FLOAT_STRUCTURES[name], PARTLY_FLOAT))


@pytest.mark.parametrize("name", STRUCTURES)
def test_nonsense_with_a_right_checksum(name, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        programs.refused(path, changed(STRUCTURES[name]))


DEEP = 100_000
TEXTS = {
    "empty": "",
    "no object": "[]",
    "null": "null",
    "a number": "7",
    "not JSON": "{'a': 1}",
    "two documents": "{} {}",
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "deep operation": '{"inputs":[],"operations":[{"kind":"relu","version":1,"name":' + "[" * 900 + "]" * 900 + "}]}",
    "digits without end": '{"inputs":[],"operations":' + "9" * 10_000 + "}",
    "an exponent beyond floats": '{"inputs":[],"operations":1e999}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_structure_that_is_no_program(name, path):
    programs.refused(path, programs.forge(TEXTS[name], {}))


def test_a_message_stays_readable(path):
    """A file of megabytes in the wrong place does not become an error of megabytes."""
    path.write_bytes(changed(put("operations", 1, "channels", value="5" * 1_000_000)))
    with pytest.raises(ProgramError) as caught:
        dq.Program.load(path)
    assert len(str(caught.value)) < 1000


def test_a_bfloat16_array(path):
    structure, _ = programs.open_file(LINEAR)
    text = json.dumps(structure)
    header = {
        "__metadata__": {"format": "degreequant", "version": "1", "program": text, "checksum": ""},
        "fc.requantize.mantissa": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
    }
    data = json.dumps(header).encode()
    programs.refused(path, len(data).to_bytes(8, "little") + data + bytes(4))


@pytest.mark.parametrize("original", [GCN, PARTLY_FLOAT], ids=["integers", "partly in float"])
@given(data=st.data())
@settings(max_examples=150)
def test_any_value_anywhere(original, data, tmp_path_factory):
    """Whatever is put wherever: the engine can be built and run, or the file is refused."""
    structure, arrays = programs.open_file(original)
    spot = structure
    while True:
        keys = sorted(spot) if isinstance(spot, dict) else range(len(spot))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            break
        spot = spot[key]
    names = st.sampled_from(["x", "edge_index", "edge_weight", "conv1", "conv1.lin", "relu", "conv2", "linear", "log_softmax"])
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from([1, 2, 4, 5, 16]), st.text(max_size=3), names)
    spot[key] = data.draw(st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=3), plain, max_size=2)))
    path = tmp_path_factory.getbasetemp() / "any.dq"
    path.write_bytes(programs.forge(structure, arrays))
    try:
        engine = dq.Engine(path)
    except ProgramError:
        return
    inputs = {"edge_index": programs.ring(5), "edge_weight": np.ones(10, np.float32)}
    wanted = {e.name: inputs.get(e.role, np.zeros((5, e.channels or 0), np.float32)) for e in engine.program.inputs}
    assert np.isfinite(engine(*wanted.values())).all()


def spots(structure, kind):
    """Where the values of a type lie in a structure, each as what holds it and the key there."""
    for key, value in list(structure.items()) if isinstance(structure, dict) else enumerate(structure):
        if isinstance(value, dict | list):
            yield from spots(value, kind)
        elif type(value) is kind:
            yield structure, key


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_integers_beyond_every_float(path, name):
    structure, arrays = programs.open_file(samples.SAMPLES[name].to_bytes())
    for holder, key in spots(structure, float):
        value, holder[key] = holder[key], HUGE
        programs.refused(path, programs.forge(structure, arrays, version="2"))
        holder[key] = value
