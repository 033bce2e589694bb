"""Figures as text."""

from degreequant.experiments.choice import Figure
from degreequant.experiments.table import Metric, Target

NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "zinc": "ZINC", "mnist": "MNIST", "cifar10": "CIFAR-10", "reddit-binary": "REDDIT-BINARY"}
"""Data sets as the paper writes them."""


def written(figure: Figure | Target, metric: Metric) -> str:
    """Mean and spread; an accuracy with one digit, an error with three; a star where it is recalled.

    >>> written(Target(81.2, 0.6), "accuracy"), written(Figure(0.4337, None, 1), "mae")
    ('81.2 ± 0.6*', '0.434')
    """
    digits = 1 if metric == "accuracy" else 3
    spread = "" if figure.spread is None else f" ± {figure.spread:.{digits}f}"
    return f"{figure.mean:.{digits}f}{spread}{'*' if isinstance(figure, Target) and figure.recalled else ''}"


def signed(value: float, metric: Metric) -> str:
    """A difference.

    >>> signed(0.25, "accuracy"), signed(-0.012, "mae")
    ('+0.2', '−0.012')
    """
    return f"{value:+.{1 if metric == 'accuracy' else 3}f}".replace("-", "\N{MINUS SIGN}")
