"""How a figure of ours stands to another: better, worse, or within the spread."""

from dataclasses import dataclass
from typing import Literal

from degreequant.experiments.choice import Figure
from degreequant.experiments.table import Metric, Target

Standing = Literal["better", "same", "worse"]


@dataclass(frozen=True)
class Verdict:
    """A comparison.

    Attributes:
        gain: By how much ours is better, in the figure's own unit; below 0 where it is worse.
        spread: The larger of the two standard deviations, what a difference is measured by.
    """

    gain: float
    spread: float

    @property
    def standing(self) -> Standing:
        """Whether the difference exceeds the spread.

        >>> Verdict(gain=0.5, spread=0.6).standing
        'same'
        """
        if abs(self.gain) <= self.spread:
            return "same"
        return "better" if self.gain > 0 else "worse"


def compare(ours: Figure, other: Figure | Target, metric: Metric) -> Verdict:
    """Ours against another figure; of an accuracy more is better, of an error less.

    >>> compare(Figure(0.43, 0.01, 3), Target(0.53), "mae").standing
    'better'
    """
    gain = ours.mean - other.mean if metric == "accuracy" else other.mean - ours.mean
    return Verdict(gain, max(ours.spread or 0.0, other.spread or 0.0))
