"""What only a process of its own can show: the time from its start to the first answer, and the memory that a call takes."""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from degreequant.bench.workloads import Workload
from degreequant.errors import BenchError
from degreequant.program import Program

_COMMON = """
import ctypes, json, sys, threading, time
def status(key):
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(key)) / 1024
def measured(call):
    try:
        open("/proc/self/clear_refs", "w").write("5")
    except OSError:
        pass
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # what was freed before is no part of what the call takes
    before, started = status("VmRSS"), time.perf_counter()
    answer = call()
    return {"ms": 1e3 * (time.perf_counter() - started), "before": before, "peak": status("VmHWM")}, answer
folder, threads = sys.argv[1], int(sys.argv[2])
"""
_OURS = (
    _COMMON
    + """
import numpy as np
from degreequant.runtime.engine import Engine
given = {name: np.load(f"{folder}/{name}.npy") for name in json.load(open(f"{folder}/names.json"))}
def call():
    engine = Engine(f"{folder}/model.dq", threads=threads)
    return engine(**given | {"edge_index": engine.graph(given["edge_index"], len(given["x"]))})
report, answer = measured(call)
report["owned"] = sum(array.nbytes for array in given.values()) / 2**20
print(json.dumps(report))
"""
)
_PYG = (
    _COMMON
    + """
import numpy as np, torch, torch_geometric, degreequant.train.models.citation, degreequant.train.models.residual
torch.set_num_threads(threads)
given = {name: torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in json.load(open(f"{folder}/names.json"))}
def load():
    return torch.load(f"{folder}/model.pt", weights_only=False).eval()
if sys.argv[3] == "PyG CSR int64":  # the caller has normalised the matrix before
    from degreequant.bench.peers import with_matrices
    from degreequant.runtime.graph import Graph
    graph = Graph(given["edge_index"].numpy(), len(given["x"]))
    model, given["edge_index"] = with_matrices(load(), graph, torch.int64)
    del graph
    load = lambda: model
else:
    given["edge_index"] = given["edge_index"].long()
def bytes_of(tensor):
    if tensor.layout != torch.sparse_csr:
        return tensor.nbytes
    return sum(part.nbytes for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()))
def call():
    model = load()
    with torch.inference_mode():
        return model(**given)
report, answer = measured(call)
report["owned"] = sum(map(bytes_of, given.values())) / 2**20
print(json.dumps(report))
"""
)


@dataclass(frozen=True)
class Fresh:
    """A process of its own.

    Attributes:
        seconds: From its start to the end of its first answer.
        first_call: Milliseconds of loading the model and the first answer, the graph built in it.
        taken: MiB that the call took beyond what the process held before, at the most.
        owned: MiB of the inputs, which the caller holds.
    """

    seconds: float
    first_call: float
    taken: float
    owned: float


def start(work: Workload, made: Program | None, threads: int, repeats: int = 5, form: str = "PyG edge_index") -> Fresh:
    """Starts processes that import, load and answer once: the engine with a program, or PyG by `form`, which is `"PyG edge_index"`, or
    `"PyG CSR int64"` with the matrix normalised before the call. Medians.

    Raises:
        BenchError: If a process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), work, made)
        return _summary([_process(folder, _PYG if made is None else _OURS, threads, form) for _ in range(repeats)])


def _write(folder: Path, work: Workload, made: Program | None) -> None:
    given: dict[str, Any] = {"x": work.inputs.x, "edge_index": work.inputs.edges}
    if work.inputs.batch is not None:
        given["batch"] = work.inputs.batch
    for name, array in given.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "names.json").write_text(json.dumps(list(given)))
    if made is None:
        torch.save(work.model, folder / "model.pt")
    else:
        made.save(folder / "model.dq")


def _process(folder: str, script: str, threads: int, form: str) -> dict[str, float]:
    started = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", script, folder, str(threads), form]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise BenchError(f"a fresh process failed: {last[:200]}")
    report: dict[str, float] = json.loads(done.stdout)
    return {**report, "seconds": seconds}


def _summary(reports: list[dict[str, float]]) -> Fresh:
    middle = {key: median(report[key] for report in reports) for key in reports[0]}
    return Fresh(middle["seconds"], middle["ms"], middle["peak"] - middle["before"], middle["owned"])
