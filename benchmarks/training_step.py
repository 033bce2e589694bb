"""What quantized training costs: one step (forward, backward, Adam) of a model under each recipe, against the plain PyG model.

    python benchmarks/training_step.py [--dataset zinc] [--arch gin] [--batch-size 128] [--steps 60] [--threads 1] [--out FILE]

A step is the whole graph of a citation set, or a batch of graphs, by default as many as the protocol has; all contenders see the same
batches. They take turns, step by step; figures are medians.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import torch

import degreequant as dq
from degreequant.bench.timing import alternate
from degreequant.data import find
from degreequant.experiments import record
from degreequant.experiments.protocol import Protocol, protocol
from degreequant.train.architectures import Architecture
from degreequant.train.memory import keep_freed_memory
from degreequant.train.task import Example, Task, task_of

RECIPES = {
    "fp32": dq.Recipe.fp32(),
    "qat-int8": dq.Recipe.qat(8),
    "degree-quant-int8": dq.Recipe.degree_quant(8),
    "degree-quant-int4": dq.Recipe.degree_quant(4),
}


def main() -> None:
    """Times all recipes in one run and prints each step's time and its ratio to PyG's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--arch", default="gcn")
    parser.add_argument("--batch-size", type=int, help="Graphs of a step.")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="A results file to append a row to.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    entry = find(arguments.dataset)
    usual, task = protocol(entry, arguments.arch), task_of(entry.load())
    if arguments.batch_size:
        usual = replace(usual, settings=replace(usual.settings, batch_size=arguments.batch_size))
    steppers = {"PyG": _stepper(_built(usual, task), usual, task)}
    steppers |= {name: _stepper(dq.prepare(_built(usual, task), recipe), usual, task) for name, recipe in RECIPES.items()}
    timings = alternate(steppers, repeats=arguments.steps, warmup=5)
    for name, timing in timings.items():
        print(f"{name:20s} {timing.ms:7.2f} ms  {timing.ms / timings['PyG'].ms:5.2f}x")
    if arguments.out:
        row = {"dataset": entry.name, "architecture": usual.architecture, "threads": arguments.threads, "steps": arguments.steps}
        row |= {"batch_size": usual.settings.batch_size}
        figures = {name: round(timing.ms, 3) for name, timing in timings.items()}
        record.append(arguments.out, row | {"step_ms": figures} | record.environment())


def _built(usual: Protocol, task: Task) -> torch.nn.Module:
    return Architecture(usual.architecture, task.in_channels, usual.hidden_channels, task.out_channels, usual.dropout).build()


def _stepper(model: torch.nn.Module, usual: Protocol, task: Task) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=usual.settings.lr, weight_decay=usual.settings.weight_decay, fused=True)
    model.train()
    examples = _examples(task, usual.settings.batch_size)

    def step() -> None:
        example = next(examples)
        optimizer.zero_grad()
        task.objective.loss(example.predict(model), example.target).backward()
        optimizer.step()

    return step


def _examples(task: Task, batch_size: int) -> Iterator[Example]:
    for epoch in count():
        yield from task.shuffled(batch_size, torch.Generator().manual_seed(epoch))


if __name__ == "__main__":
    main()
