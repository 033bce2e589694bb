"""The README's accuracy table: a citation graph, public split, epoch chosen on validation, accuracy of the engine.

    python benchmarks/reproduce_citation.py --dataset cora --arch gat [--seeds 10] [--only SUBSTRING] [--table]

Rows go to results/DATASET-ARCH.jsonl; it resumes where it stopped. Model and hyperparameters are those of `degreequant train`. The recipes
are those that benchmarks/search_cora_gcn.py ranked best on validation, for a GCN on Cora; they are the same everywhere.
"""

import argparse
from statistics import mean, stdev

import torch

from degreequant.data import find
from degreequant.experiments import record
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.protocol import protocol
from degreequant.experiments.sweep import sweep
from degreequant.scheme import Recipe

METHODS = {
    "fp32": Recipe.fp32(),
    "degree-quant-int8": Recipe.degree_quant(8),
    "degree-quant-int4": Recipe.degree_quant(4),
    "qat-int4": Recipe.qat(4, ranges="percentile"),
}


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--arch", default="gcn")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true", help="Print what is there; run nothing.")
    arguments = parser.parse_args()
    results = f"results/{arguments.dataset}-{arguments.arch}.jsonl"
    if not arguments.table:
        _run(arguments.dataset, arguments.arch, arguments.seeds, arguments.only, results)
    print(f"{'method':20s} seeds   test accuracy    bytes  ms/step")
    rows = record.read(results)
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        if len(found) > 1:
            accuracy = [100 * row["test_accuracy"] for row in found]
            step = sorted(row["step_ms"] for row in found)[len(found) // 2]
            print(f"{method:20s} {len(found):5d}   {mean(accuracy):5.2f} ± {stdev(accuracy):4.2f}  {found[0]['bytes']:7d}  {step:7.1f}")


def _run(dataset: str, arch: str, seeds: int, only: str, results: str) -> None:
    torch.set_num_threads(1)
    entry = find(dataset)
    usual, data = protocol(entry, arch), entry.load()
    sizes = (usual.hidden_channels, usual.dropout, usual.settings)
    for method in (name for name in METHODS if only in name):
        experiments = [Experiment(dataset, usual.architecture, method, METHODS[method], seed, *sizes) for seed in range(seeds)]
        for row in sweep(experiments, data, results):
            print(f"{row['method']:20s} seed {row['seed']:3d}  test {100 * row['test_accuracy']:.1f}", flush=True)


if __name__ == "__main__":
    main()
