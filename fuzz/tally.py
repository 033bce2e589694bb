"""What became of the cases of a run, counted by outcome, and the row of results/ that says so."""

import re
import time
from collections import Counter
from typing import Any

from degreequant.experiments import record

KEPT = 60
"""Outcomes that are named in a row; rarer ones are summed up."""


class Tally:
    """Counts outcomes and the time they took."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._started = time.monotonic()

    def row(self, **about: Any) -> record.Row:
        """The row of a run: counts, seconds, and with what it was made."""
        common = dict(self.outcomes.most_common(KEPT))
        rare = self.outcomes.total() - sum(common.values())
        seconds = round(time.monotonic() - self._started, 1)
        counts = {"cases": self.outcomes.total(), "seconds": seconds, "outcomes": common | ({"other": rare} if rare else {})}
        return {**about, **counts, "environment": record.environment()}


def named(error: Exception) -> str:
    """An error by its class and the words of its sentence that come again in other cases: names, values and what came are left out."""
    text = str(error).partition("\n")[0].removeprefix("fuzz.dq: ")
    text = re.sub(r"^[^ :]+(?=: | is )", "...", text)
    text = re.sub(r"(?<=[ (])('[^']*'?|\"[^\"]*\"?)", "...", text)
    text = re.sub(r", got .*|(?<=expected the fields).*|(?<=is ).*(?=; expected)|(?<=takes \().*|\{.*", " ...", text)
    text = re.sub(r"[-+]?\d[\w.^+-]*|\b(?:nan|inf)\b", "#", text)
    return f"{type(error).__name__}: {text[:70]}"
