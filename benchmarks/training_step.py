"""What quantized training costs: one step (forward, backward, Adam) of GCN on Cora under each recipe, against the plain PyG model.

    python benchmarks/training_step.py [--steps 60] [--threads 1] [--out results/training-step.jsonl]

The contenders take turns, step by step; figures are medians.
"""

import argparse

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.data import load
from degreequant.experiments import record
from degreequant.experiments.latency import alternate


class GCN(torch.nn.Module):
    """The model as PyG's examples write it, with dropout on dense features."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = GCNConv(in_channels, hidden_channels)
        self.conv2 = GCNConv(hidden_channels, out_channels)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """Log-probabilities."""
        x = F.dropout(x, training=self.training)
        x = F.relu(self.conv1(x, edge_index))
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.conv2(x, edge_index), dim=-1)


def main() -> None:
    """Times all recipes in one run and prints each step's time and its ratio to PyG's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="A results file to append a row to.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = load("cora")
    models = {
        "PyG": GCN(1433, 16, 7),
        "fp32": dq.prepare(GCN(1433, 16, 7), dq.Recipe.fp32()),
        "qat-int8": dq.prepare(GCN(1433, 16, 7), dq.Recipe.qat(8)),
        "degree-quant-int8": dq.prepare(GCN(1433, 16, 7), dq.Recipe.degree_quant(8)),
        "degree-quant-int4": dq.prepare(GCN(1433, 16, 7), dq.Recipe.degree_quant(4)),
    }
    timings = alternate({name: _stepper(model, data) for name, model in models.items()}, repeats=arguments.steps, warmup=5)
    for name, timing in timings.items():
        print(f"{name:20s} {timing.ms:7.2f} ms  {timing.ms / timings['PyG'].ms:5.2f}x")
    if arguments.out:
        figures = {name: round(timing.ms, 3) for name, timing in timings.items()}
        record.append(arguments.out, {"step_ms": figures, "threads": arguments.threads, "steps": arguments.steps} | record.environment())


def _stepper(model, data):  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        F.nll_loss(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
