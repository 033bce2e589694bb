"""A training that is killed again and again: run as a program by test_killed.py, which reads what it prints.

python killed.py FOLDER

Every training is a child process, forked after the imports. The first one is left alone. Then come children that share one state file, each
killed with SIGKILL: some by their parent at a random moment, some by themselves in the middle of writing their state. The last one ends.
"""

import hashlib
import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import tiny
import torch

from degreequant.nn.rewrite import prepare
from degreequant.recipe import Recipe
from degreequant.train.loop import Resume, Settings, fit
from degreequant.train.models.citation import GCN
from degreequant.train.models.residual import GraphGIN
from degreequant.train.scoring import evaluate
from degreequant.train.task import GraphTask

MOMENTS = ("half", "fsync", "replace", "replaced")
EPOCHS = 16


def train(kind, path, told=lambda epoch, loss: None):
    """What a training ends with: checksums of weights and ranges, and its figures."""
    torch.manual_seed(3)
    if kind == "nodes":
        task, model, settings = tiny.task(), prepare(GCN(8, 6, 3), Recipe.degree_quant(4)), Settings(epochs=EPOCHS, lr=0.05)
    else:
        task, model = GraphTask(tiny.graphs(count=60)), prepare(GraphGIN(4, 6, 3, dropout=0.2), Recipe.degree_quant(4))
        settings = Settings(epochs=EPOCHS, lr=0.02, batch_size=6, schedule="plateau", lr_patience=1)
    result = fit(model, task, settings, told, None if path is None else Resume(path, run=kind, seconds=0))
    digest = hashlib.sha256(b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in sorted(model.state_dict().items())))
    return {
        "weights": digest.hexdigest(),
        "figures": [result.epoch, result.val_loss, result.val_metric, *evaluate(model, task, "test")],
        "random": float(torch.rand(())),
    }


def child(kind, path, moment=None):
    """A forked training; its process and a pipe that has a byte for each epoch and then the result."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, os.fdopen(reading, "rb", buffering=0)
    try:
        if moment is not None:
            die_while_writing(moment, at=2)
        result = train(kind, path, lambda epoch, loss: os.write(writing, b"."))
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def die_while_writing(moment, at):
    """In the write number `at`: with half of the bytes, all but not yet on the disk, on the disk, or renamed."""
    fsync, replace = os.fsync, os.replace
    count = itertools.count(1)

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def patched_fsync(handle):
        fsync(handle)
        if next(count) == at:
            if moment == "half":
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            if moment in ("half", "fsync"):
                kill()
            os.replace = patched_replace

    def patched_replace(*paths):
        if moment == "replaced":
            replace(*paths)
        kill()

    os.fsync = patched_fsync


def finish(process, pipe):
    """How a training ended, and its result."""
    told = pipe.read().lstrip(b".")
    pipe.close()
    return os.waitpid(process, 0)[1], json.loads(told) if told else None


def killed_often(kind, path, chance):
    """Everything that happened to the trainings of one kind."""
    killed = []
    expected = finish(*child(kind, None))[1]
    for moment in MOMENTS:
        status, result = finish(*child(kind, path, moment))
        killed.append((moment, os.WTERMSIG(status), result))
    for _ in range(3):
        process, pipe = child(kind, path)
        pipe.read(chance.randint(1, 3))
        time.sleep(chance.random() / 50)
        os.kill(process, signal.SIGKILL)
        status, result = finish(process, pipe)
        killed.append(("at random", os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, result))
    left = sorted(os.listdir(path.parent))
    status, found = finish(*child(kind, path))
    return {"killed": killed, "left": left, "status": status, "expected": expected, "found": found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    prepare(GCN(8, 6, 3), Recipe.fp32())  # what torch imports for tracing is imported once, and not in each child
    paths = {kind: Path(sys.argv[1]) / kind / "state" for kind in ("nodes", "graphs")}
    print(json.dumps({kind: killed_often(kind, path, random.Random(kind)) for kind, path in paths.items()}))
