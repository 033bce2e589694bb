import json

import numpy as np
import pytest
import tiny
import torch

import degreequant as dq
from degreequant.errors import DatasetError
from degreequant.experiments.experiment import Experiment, recipe_for
from degreequant.experiments.run import engine_accuracy, run
from degreequant.train.loop import Settings

DATA = tiny.task()


def experiment(method="degree-quant", bits=4, seed=0, arch="gcn", epochs=8):
    return Experiment("tiny", arch, method, recipe_for(method, bits), seed, hidden_channels=6, settings=Settings(epochs=epochs))


@pytest.mark.parametrize(("method", "bits"), [("qat", 8), ("nqat", 8), ("degree-quant", 4)])
def test_accuracy_is_that_of_the_integers(method, bits):
    outcome = run(experiment(method, bits), DATA)
    row = outcome.row
    output = dq.Engine(outcome.program)(DATA.x, DATA.edge_index)
    right = output.argmax(axis=1) == DATA.y.numpy()
    assert row["test_accuracy"] == engine_accuracy(outcome.program, DATA) == np.mean(right[DATA.test_mask.numpy()])
    assert row["model_test_accuracy"] == pytest.approx(row["test_accuracy"])
    assert row["bytes"] == outcome.program.nbytes


def test_in_float_the_model_is_measured():
    outcome = run(experiment("fp32", None), DATA)
    assert outcome.program is None
    assert outcome.row["test_accuracy"] == outcome.row["model_test_accuracy"]
    assert outcome.row["bytes"] == 4 * (8 * 6 + 6 + 6 * 3 + 3)


def test_a_row_says_what_was_run():
    asked = experiment()
    row = run(asked, DATA).row
    assert json.loads(json.dumps(row)) == row
    assert {key: row[key] for key in asked.to_dict()} == asked.to_dict()
    assert row["key"] == asked.key
    assert {"val_accuracy", "val_loss", "epoch", "step_ms", "seconds", "device", "threads", "versions", "commit"} <= set(row)
    assert 1 <= row["epoch"] <= 8


def test_everything_random_follows_from_the_seed():
    def program(seed, before):
        torch.manual_seed(before)
        return run(experiment(seed=seed), DATA).program.to_bytes()

    assert program(0, before=1) == program(0, before=2)
    assert program(0, before=1) != program(1, before=1)


def test_progress_is_told():
    seen = []
    run(experiment(epochs=3), DATA, lambda epoch, loss: seen.append(epoch))
    assert seen == [1, 2, 3]


def test_an_unknown_architecture():
    with pytest.raises(DatasetError, match="unknown architecture 'gin'"):
        run(experiment(arch="gin"), DATA)
