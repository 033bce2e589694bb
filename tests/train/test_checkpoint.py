import copy
import io
import json
import os
import pickle
from functools import cache

import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import save

import degreequant as dq
from degreequant.errors import CheckpointError, DegreeQuantError
from degreequant.train.architectures import ARCHITECTURES, Architecture
from degreequant.train.checkpoint import load_checkpoint, save_checkpoint
from degreequant.train.loop import Settings, fit
from degreequant.train.task import GraphTask, NodeTask

ARCHITECTURE = Architecture("gcn", 8, 5, 3, dropout=0.25)
RECIPES = {
    "fp32": dq.Recipe.fp32(),
    "degree-quant": dq.Recipe.degree_quant(4),
    "percentile": dq.Recipe.qat(8, ranges="percentile"),
    "override": dq.Recipe.degree_quant(4).override("conv2", weight_bits=8),
}
DATA = tiny.task()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@cache
def trained(recipe="degree-quant"):
    torch.manual_seed(0)
    model = dq.prepare(ARCHITECTURE.build(), RECIPES[recipe])
    fit(model, DATA, Settings(epochs=3))
    return model


@pytest.mark.parametrize("recipe", RECIPES)
def test_round_trip(recipe, path):
    model = trained(recipe)
    save_checkpoint(path, model, ARCHITECTURE)
    loaded, architecture = load_checkpoint(str(path))
    assert architecture == ARCHITECTURE
    assert loaded.dq.recipe == RECIPES[recipe]
    assert not any(module.training for module in loaded.modules())
    state = model.state_dict()
    assert list(loaded.state_dict()) == list(state)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name]), name
    with torch.no_grad():
        assert torch.equal(loaded(DATA.x, DATA.edge_index), model(DATA.x, DATA.edge_index))
    if recipe != "fp32":
        assert dq.convert(loaded).to_bytes() == dq.convert(model).to_bytes()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "gcn"])
def test_round_trip_of_every_architecture(name, path):
    of_nodes = name in ("gcn", "gat", "gin", "linear-gin")
    task = NodeTask(DATA) if of_nodes else GraphTask(tiny.graphs(types=name.startswith("zinc")))
    architecture = Architecture(name, task.in_channels, 5, task.out_channels, dropout=0.25)
    model = dq.prepare(architecture.build(), dq.Recipe.degree_quant(4))
    example = next(task.examples("train"))
    example.predict(model.train())
    save_checkpoint(path, model, architecture)
    loaded, found = load_checkpoint(path)
    assert found == architecture
    with torch.no_grad():
        assert torch.equal(loaded(**example.inputs), model.eval()(**example.inputs))


def test_training_goes_on_from_a_checkpoint(path):
    save_checkpoint(path, trained(), ARCHITECTURE)
    loaded, _ = load_checkpoint(path)
    assert fit(loaded, DATA, Settings(epochs=2)).val_loss < 2


def test_a_model_has_one_file(path):
    written = set()
    for _ in range(6):
        save_checkpoint(path, trained(), ARCHITECTURE)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_saving_leaves_the_model_and_one_file(path):
    model = copy.deepcopy(trained()).train()
    save_checkpoint(path, model, ARCHITECTURE)
    assert model.training
    assert os.listdir(path.parent) == [path.name]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(DegreeQuantError, match="cannot be written"):
        save_checkpoint(tmp_path / "none" / "model.safetensors", trained(), ARCHITECTURE)


def refused(path, message=None):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, ValueError)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


def torch_file():
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"text", pickle.dumps(Bomb()), torch_file(), (2**63).to_bytes(8, "little") + b"{}"],
    ids=["empty", "zeros", "text", "pickle", "torch", "length"],
)
def test_another_file(path, data):
    path.write_bytes(data)
    refused(path, "missing, damaged or not a checkpoint")


def test_what_is_no_file(tmp_path, path):
    refused(path, "missing, damaged or not a checkpoint")
    refused(tmp_path, "missing, damaged or not a checkpoint")
    refused("model\0.safetensors")


def test_truncated(path):
    save_checkpoint(path, trained(), ARCHITECTURE)
    data = path.read_bytes()
    for length in [*range(64), *range(64, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path, "missing, damaged or not a checkpoint")


def test_a_foreign_safetensors_file(path):
    path.write_bytes(save({"weight": torch.zeros(3)}))
    refused(path, "a safetensors file, but not a checkpoint; expected one that `degreequant train` wrote")


def test_a_program_is_no_checkpoint(path):
    dq.convert(trained()).save(path)
    refused(path, "a safetensors file, but not a checkpoint")


def forge(path, *, state=None, **metadata):
    """A checkpoint with some of its metadata, or its tensors, replaced."""
    save_checkpoint(path, trained(), ARCHITECTURE)
    with safe_open(path, framework="pt") as stored:
        plain = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    kept = {key: value for key, value in {**plain, **metadata}.items() if value is not None}
    path.write_bytes(save({**tensors, **state} if state else tensors, kept))


RECIPE = dq.Recipe.degree_quant(4).to_dict()
SIZES = {"name": "gcn", "in_channels": 8, "hidden_channels": 5, "out_channels": 3, "dropout": 0.25}
METADATA = {
    "unknown recipe key": {"recipe": json.dumps(RECIPE | {"bits": 4})},
    "bad recipe value": {"recipe": json.dumps(RECIPE | {"weight_bits": 9})},
    "recipe of another kind": {"recipe": json.dumps(RECIPE | {"weight_bits": "4"})},
    "bad override": {"recipe": json.dumps(RECIPE | {"overrides": [["conv2"]]})},
    "override of no module": {"recipe": json.dumps(RECIPE | {"overrides": [["head", {"weight_bits": 8}]]})},
    "recipe is a list": {"recipe": "[]"},
    "recipe is null": {"recipe": "null"},
    "recipe is not JSON": {"recipe": "{"},
    "recipe is empty": {"recipe": ""},
    "recipe is deep": {"recipe": "[" * 100_000 + "]" * 100_000},
    "no recipe": {"recipe": None},
    "no architecture": {"architecture": None},
    "architecture is a list": {"architecture": "[]"},
    "unknown architecture": {"architecture": json.dumps(SIZES | {"name": "gat"})},
    "name is a list": {"architecture": json.dumps(SIZES | {"name": []})},
    "extra size": {"architecture": json.dumps(SIZES | {"heads": 8})},
    "missing size": {"architecture": json.dumps({"name": "gcn"})},
    "size is a text": {"architecture": json.dumps(SIZES | {"in_channels": "8"})},
    "size is negative": {"architecture": json.dumps(SIZES | {"hidden_channels": -5})},
    "size is huge": {"architecture": json.dumps(SIZES | {"hidden_channels": 10**400})},
    "size is beyond memory": {"architecture": json.dumps(SIZES | {"hidden_channels": 10**16})},
    "another size": {"architecture": json.dumps(SIZES | {"hidden_channels": 6})},
    "float recipe": {"recipe": json.dumps(dq.Recipe.fp32().to_dict())},
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_does_not_fit(name, path):
    forge(path, **METADATA[name])
    refused(path, "the checkpoint does not fit this release")


@pytest.mark.parametrize(
    "state", [{"extra": torch.zeros(3)}, {"conv1.lin.weight": torch.zeros(5, 9)}, {"conv1.bias": torch.zeros(())}], ids=list
)
def test_tensors_that_do_not_fit(state, path):
    forge(path, state=state)
    refused(path, "the checkpoint does not fit this release")


def test_forging_alone_does_no_harm(path):
    forge(path)
    load_checkpoint(path)
