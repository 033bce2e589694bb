"""The README's accuracy table: GCN on Cora, public split, epoch chosen on validation, accuracy of the engine. Rows: results/cora-gcn.jsonl.

    python benchmarks/reproduce_cora_gcn.py [--seeds 100] [--only SUBSTRING] [--table]

Resumes where it stopped. The recipes are those that benchmarks/search_cora_gcn.py ranked best on validation.
"""

import argparse
from statistics import mean, stdev

import torch

from degreequant.data import load
from degreequant.experiments import record
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.sweep import sweep
from degreequant.scheme import Recipe

RESULTS = "results/cora-gcn.jsonl"
METHODS = {
    "fp32": Recipe.fp32(),
    "degree-quant-int8": Recipe.degree_quant(8),
    "degree-quant-int4": Recipe.degree_quant(4),
    "qat-int4": Recipe.qat(4, ranges="percentile"),
}


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true", help="Print what is there; run nothing.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.table:
        data = load("cora")
        experiments = [
            Experiment("cora", "gcn", m, METHODS[m], seed) for m in METHODS if arguments.only in m for seed in range(arguments.seeds)
        ]
        for row in sweep(experiments, data, RESULTS):
            print(f"{row['method']:20s} seed {row['seed']:3d}  test {100 * row['test_accuracy']:.1f}", flush=True)
    print(f"{'method':20s} seeds   test accuracy    bytes  ms/step")
    rows = record.read(RESULTS)
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        if len(found) > 1:
            accuracy = [100 * row["test_accuracy"] for row in found]
            step = sorted(row["step_ms"] for row in found)[len(found) // 2]
            print(f"{method:20s} {len(found):5d}   {mean(accuracy):5.2f} ± {stdev(accuracy):4.2f}  {found[0]['bytes']:7d}  {step:7.1f}")


if __name__ == "__main__":
    main()
