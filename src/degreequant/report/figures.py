"""Figures as text: everything that prints one takes it from here, so that a page, a table and a line say the same."""

from decimal import ROUND_HALF_UP, Decimal

from degreequant.data import DATASETS
from degreequant.experiments.choice import Figure, Result
from degreequant.experiments.table import Cell, Metric, Target

LARGE = 1e15
"""From here on, and of what is no number, there are no digits to round to."""


def written(figure: Figure | Target, metric: Metric) -> str:
    """Mean and spread; an accuracy with one digit, an error with three; a star where it is recalled.

    >>> written(Target(81.2, 0.6), "accuracy"), written(Figure(0.4337, None, 1), "mae")
    ('81.2 ± 0.6*', '0.434')
    """
    spread = "" if figure.spread is None else f" ± {rounded(figure.spread, _digits(metric))}"
    return f"{rounded(figure.mean, _digits(metric))}{spread}{'*' if isinstance(figure, Target) and figure.recalled else ''}"


def progress(cell: Cell, found: Result) -> str:
    """How many of a cell's runs are there, where it is not all: `10/100`."""
    return "" if found.finished else f"{found.test.runs}/{cell.seeds}"


def signed(value: float, metric: Metric) -> str:
    """A difference.

    >>> signed(0.25, "accuracy"), signed(-0.012, "mae")
    ('+0.3', '−0.012')
    """
    return f"{rounded(value, _digits(metric)):+}".replace("-", "\N{MINUS SIGN}")


def rounded(value: float, digits: int) -> Decimal:
    """To so many digits, half away from zero, as a reader of the decimal figure expects: means of accuracies end in 5 often.

    >>> print(rounded(0.25, 1), f"{0.25:.1f}", rounded(-0.04, 1))
    0.3 0.2 0.0
    """
    exact = Decimal(repr(round(value, 6)))
    if not abs(value) < LARGE:
        return exact
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0  # which takes the sign from a zero


def dataset_title(name: str) -> str:
    """A data set as people write it.

    >>> dataset_title("cifar10"), dataset_title("my-photos")
    ('CIFAR-10', 'my-photos')
    """
    return DATASETS[name].title if name in DATASETS else name


def _digits(metric: Metric) -> int:
    return 1 if metric == "accuracy" else 3
