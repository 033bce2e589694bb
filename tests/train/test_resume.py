"""State files, and trainings that go on from them."""

import json
import os
import pickle

import pytest
import tiny
import torch
from safetensors.torch import save

import degreequant as dq
from degreequant.errors import CheckpointError
from degreequant.train.architectures import Architecture
from degreequant.train.checkpoint import save_checkpoint
from degreequant.train.loop import Resume, Settings, fit
from degreequant.train.models.citation import GCN
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.resume import State, read_state, write_state
from degreequant.train.task import GraphTask

STATE = State(
    {"a/weight": torch.rand(3, 4), "a/steps": torch.tensor(7), "random": torch.get_rng_state(), "none": torch.zeros(0, 2)},
    {"epoch": 3, "losses": [0.1, float("inf")], "schedule": {"best": 1e-300}},
)
IDENTITY = {"lr": 0.1, "device": "cpu"}


@pytest.fixture
def resume(tmp_path):
    return Resume(tmp_path / "state", run="a run", seconds=0)


def refused(resume, message, identity=IDENTITY):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state(resume, identity)
    assert str(caught.value).startswith(f"{resume.path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_round_trip(resume):
    write_state(resume, IDENTITY, STATE)
    found = read_state(resume, IDENTITY)
    assert found.values == STATE.values
    assert set(found.tensors) == set(STATE.tensors)
    for name, tensor in STATE.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_tensors_that_share_memory_or_are_not_contiguous(resume):
    whole = torch.rand(4, 4)
    write_state(resume, IDENTITY, State({"whole": whole, "same": whole, "turned": whole.T, "column": whole[:, 1]}, {}))
    assert torch.equal(read_state(resume, IDENTITY).tensors["turned"], whole.T)


def test_no_file_is_a_fresh_start(resume):
    assert read_state(resume, IDENTITY) is None


def test_the_folder_is_made(tmp_path):
    resume = Resume(str(tmp_path / "new" / "state"))
    write_state(resume, IDENTITY, STATE)
    assert read_state(resume, IDENTITY) is not None


def test_another_training(resume, tmp_path):
    write_state(resume, IDENTITY, STATE)
    refused(resume, "the state of another training: its lr is 0.1, here it is 0.2; delete it to start anew", IDENTITY | {"lr": 0.2})
    refused(Resume(resume.path, run="other"), "the state of another training: its name is 'a run', here it is 'other'")


def test_truncated(resume):
    write_state(resume, IDENTITY, STATE)
    data = resume.path.read_bytes()
    for length in [*range(40), *range(40, len(data), 211), len(data) - 1]:
        resume.path.write_bytes(data[:length])
        refused(resume, "damaged, or not the state of a training")


def test_any_other_byte(resume):
    write_state(resume, IDENTITY, STATE)
    data = resume.path.read_bytes()
    for place in range(0, len(data), 97):
        resume.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        refused(resume, "damaged, or not the state of a training")


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize(
    "data",
    [
        b"text",
        pickle.dumps(Bomb()),
        save({"weight": torch.zeros(3)}),
        save({}, {"format": "degreequant-training", "version": "2"}),
        save({}, {"format": "degreequant-training", "version": "1"}),
    ],
    ids=["text", "pickle", "safetensors", "newer", "empty"],
)
def test_another_file(resume, data):
    resume.path.write_bytes(data)
    refused(resume, "damaged, or not the state of a training .*delete it to start anew")


def test_a_checkpoint_is_no_state(resume):
    architecture = Architecture("gcn", 8, 5, 3)
    save_checkpoint(resume.path, dq.prepare(architecture.build(), dq.Recipe.fp32()), architecture)
    refused(resume, "damaged, or not the state of a training")


def test_what_cannot_be_read_or_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    refused(Resume(tmp_path / "folder"), "cannot be read")
    for path in (tmp_path / "folder", tmp_path / "file" / "state"):
        with pytest.raises(CheckpointError, match="cannot be written"):
            write_state(Resume(path), IDENTITY, STATE)


def nodes(recipe):
    return lambda: (dq.prepare(GCN(8, 6, 3), recipe), tiny.task(), Settings(epochs=9, lr=0.05, patience=5))


def graphs(schedule, recipe=None):
    settings = Settings(epochs=9, lr=0.02, batch_size=7, schedule=schedule, lr_patience=1, lr_step=2)
    make = lambda: RedditGIN(4, 6, 3) if recipe is None else dq.prepare(RedditGIN(4, 6, 3), recipe)  # noqa: E731
    return lambda: (make(), GraphTask(tiny.graphs()), settings)


KINDS = {
    "float": nodes(dq.Recipe.fp32()),
    "degree-quant": nodes(dq.Recipe.degree_quant(4)),
    "percentile": nodes(dq.Recipe.qat(8, ranges="percentile")),
    "nqat": nodes(dq.Recipe.nqat(4)),
    "graphs": graphs("fixed"),
    "plateau": graphs("plateau"),
    "step": graphs("step"),
    "quantized graphs": graphs("fixed", dq.Recipe.degree_quant(4)),
}


class Stop(Exception):
    pass


def train(kind, resume=None, stop=0):
    """The model and what `fit` gave but the times; at `stop` an exception ends the training after so many epochs of its own."""
    torch.manual_seed(5)
    model, data, settings = KINDS[kind]()
    epochs = []

    def told(epoch, loss):
        epochs.append(epoch)
        if len(epochs) == stop:
            raise Stop

    result = fit(model, data, settings, told, resume)
    return model.state_dict(), (result.epoch, result.val_loss, result.val_metric), float(torch.rand(())), epochs


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_ends_the_same(kind, resume):
    state, figures, random, epochs = train(kind)
    for _ in range(3):
        with pytest.raises(Stop):
            train(kind, resume, stop=3)
    found = train(kind, resume)
    assert found[3][0] == 7, "the training was not resumed"
    assert found[3][-1] == epochs[-1]
    assert found[1:3] == (figures, random)
    assert list(found[0]) == list(state)
    for name, tensor in state.items():
        assert torch.equal(found[0][name], tensor), name


@pytest.mark.parametrize("kind", ["degree-quant", "plateau"])
def test_a_finished_training_is_not_trained_again(kind, resume):
    first, again = train(kind, resume), train(kind, resume)
    assert again[3] == []
    assert again[1:3] == first[1:3]
    assert all(torch.equal(again[0][name], tensor) for name, tensor in first[0].items())


def test_keeping_a_state_changes_nothing(resume):
    plain, kept = train("graphs"), train("graphs", resume)
    assert kept[1:] == plain[1:]


def test_the_state_is_written_no_more_often_than_asked(resume, monkeypatch):
    from degreequant.train import session

    writes, clock = [], [0.0]
    monkeypatch.setattr(session, "write_state", lambda *_: writes.append(clock[0]))
    monkeypatch.setattr(session.time, "perf_counter", lambda: clock[0])

    def told(epoch, loss):
        clock[0] += 4

    fit(GCN(8, 6, 3), tiny.task(), Settings(epochs=8), told, Resume(resume.path, seconds=10))
    assert writes == [12, 24]


def test_other_settings_or_models_are_refused(resume):
    data = tiny.task()
    fit(GCN(8, 6, 3), data, Settings(epochs=2), resume=resume)
    for model, settings, what in (
        (GCN(8, 6, 3), Settings(epochs=3), "epochs is 2, here it is 3"),
        (GCN(8, 7, 3), Settings(epochs=2), "model is "),
    ):
        with pytest.raises(CheckpointError, match=f"the state of another training: its {what}"):
            fit(model, data, settings, resume=resume)


def test_a_state_that_does_not_fit(resume):
    """Whole, of this training, but without what this release needs."""
    data = tiny.task()
    fit(GCN(8, 6, 3), data, Settings(epochs=2), resume=resume)
    contents = resume.path.read_bytes()
    metadata = json.loads(contents[8 : 8 + int.from_bytes(contents[:8], "little")])["__metadata__"]
    identity = json.loads(metadata["state"])["identity"]
    write_state(resume, {name: value for name, value in identity.items() if name != "name"}, STATE)
    with pytest.raises(CheckpointError, match="the state does not fit this release"):
        fit(GCN(8, 6, 3), data, Settings(epochs=2), resume=resume)


def test_nothing_else_is_left_beside_it(resume):
    train("float", resume)
    assert os.listdir(resume.path.parent) == ["state"]
