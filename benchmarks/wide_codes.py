"""What activations of 16 bits cost: the GIN of REDDIT-BINARY on a batch of its graphs, with convolutions at 4, 8 and 16 bits.

    python benchmarks/wide_codes.py [--graphs 256] [--threads 1] [--repeats 7] [--out results/wide-codes.jsonl]

Weights are drawn, ranges are those of the batch; input and readout have the bits of the weights, 8 or 4. Integers are checked first: every
instruction set gives the codes of the plain loops, on a smaller batch. Peers are PyG's float32 model in the forms that it runs in, and our
own float engine. All alternate; medians.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from agreement import check_instruction_sets
from torch import nn

import degreequant as dq
from degreequant.bench.timing import alternate
from degreequant.data import find, load
from degreequant.experiments import record
from degreequant.experiments.protocol import protocol
from degreequant.nn.sites.adjacency import csr_matrix
from degreequant.train.architectures import Architecture
from degreequant.train.memory import keep_freed_memory
from degreequant.train.task import Task, task_of

BITS = (4, 8, 16)
SMALL = 4  # graphs of the batch that is checked


def batch_of(task: Task, graphs: int) -> dict[str, torch.Tensor]:
    """The first training graphs of an order that is drawn."""
    return dict(next(iter(task.shuffled(graphs, torch.Generator().manual_seed(0)))).inputs)


def calibrated(model: nn.Module, batch: dict[str, torch.Tensor], bits: int) -> dq.Program:
    """The model's program with convolutions of so many bits."""
    recipe = dq.Recipe.ptq(min(bits, 8), ranges="minmax").replace(widen_below=None)
    return dq.convert(dq.calibrate(model, batch, recipe.override("convs", activation_bits=bits)))


def pyg_forms(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, Callable[[], Any]]:
    """The model by `edge_index` and by a CSR matrix."""
    nodes, edge_index = len(batch["x"]), batch["edge_index"]
    matrix = csr_matrix(edge_index[1], edge_index[0], torch.ones(edge_index.shape[1]), (nodes, nodes))

    @torch.inference_mode()
    def call(edges: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = model(**{**batch, "edge_index": edges})
        return result

    torch.testing.assert_close(call(matrix), call(edge_index), rtol=1e-3, atol=1e-3)
    return {"PyG edge_index": partial(call, edge_index), "PyG CSR": partial(call, matrix)}


def main() -> None:
    """Times all, prints a row and appends it to a results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", help="A results file to append to.")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    usual, task = protocol(find("reddit-binary"), "gin"), task_of(load("reddit-binary"), 0)
    shape = (task.in_channels, usual.hidden_channels, task.out_channels, usual.dropout)
    model = Architecture(usual.architecture, *shape).build().eval()
    batch, small = batch_of(task, options.graphs), batch_of(task, SMALL)
    contenders = pyg_forms(model, batch)
    programs = {"float32": dq.convert(dq.prepare(model, dq.Recipe.fp32()))}
    programs |= {f"{bits} bits": calibrated(model, batch, bits) for bits in BITS}
    for name, program in programs.items():
        if name != "float32":
            check_instruction_sets(program, small)
        engine = dq.Engine(program, threads=options.threads)
        graph = engine.graph(batch["edge_index"], len(batch["x"]))
        contenders[name] = partial(engine, **{**batch, "edge_index": graph})
    ms = {name: round(timing.ms, 2) for name, timing in alternate(contenders, repeats=options.repeats, warmup=1).items()}
    case = {"graphs": options.graphs, "nodes": len(batch["x"]), "edges": batch["edge_index"].shape[1], "threads": options.threads}
    row = {"benchmark": "wide-codes", "case": case, "ms": ms, "repeats": options.repeats, "isa": dq.available_isas()[-1]}
    print(case, ms)
    if options.out:
        record.append(options.out, row | record.environment())


if __name__ == "__main__":
    main()
