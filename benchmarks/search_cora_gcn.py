"""Which recipe for GCN on Cora: every candidate over five seeds, ranked by validation accuracy. Rows go to results/cora-gcn-search.jsonl.

python benchmarks/search_cora_gcn.py [--seeds 5] [--only SUBSTRING]
"""

import argparse
from itertools import product
from statistics import mean, stdev

import torch

from degreequant.data import load
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.sweep import sweep
from degreequant.scheme import Recipe

RESULTS = "results/cora-gcn-search.jsonl"


def candidates() -> dict[str, Recipe]:
    """QAT baselines over every range and estimator, and Degree-Quant over ranges, percentiles and probabilities."""
    found = {}
    for ranges, estimator in product(("minmax", "ema", "percentile"), ("clipped", "plain")):
        found[f"qat4 {ranges} {estimator}"] = Recipe.qat(4, ranges=ranges, estimator=estimator)
        if ranges == "percentile":
            found[f"qat4 {ranges} {estimator} m=0.01"] = Recipe.qat(4, ranges=ranges, estimator=estimator).replace(momentum=0.01)
    for bits, (low, high), momentum in product((4, 8), ((0.0, 0.1), (0.1, 0.2)), (None, 0.01)):
        recipe = Recipe.degree_quant(bits, p_min=low, p_max=high).replace(momentum=momentum)
        found[f"dq{bits} p={low}-{high} m={momentum} c={recipe.percentile}"] = recipe
    return found


def main() -> None:
    """Runs what is missing and prints the ranking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load("cora")
    ranking = []
    for label, recipe in candidates().items():
        if arguments.only in label:
            experiments = [Experiment("cora", "gcn", label, recipe, seed) for seed in range(arguments.seeds)]
            rows = list(sweep(experiments, data, RESULTS))
            ranking.append((label, [row["val_accuracy"] for row in rows], [row["test_accuracy"] for row in rows]))
            print(_line(*ranking[-1]), flush=True)
    print("\nby validation accuracy:")
    for entry in sorted(ranking, key=lambda entry: -mean(entry[1])):
        print(_line(*entry))


def _line(label: str, val: list[float], test: list[float]) -> str:
    return f"{label:40s} val {100 * mean(val):5.2f} ± {100 * stdev(val):4.2f}   test {100 * mean(test):5.2f} ± {100 * stdev(test):4.2f}"


if __name__ == "__main__":
    main()
