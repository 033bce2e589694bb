"""What a diagnosis says: frozen values that print as tables."""

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from degreequant.operations import Rows
from degreequant.tabular import Side, Table

EXACT = 100.0
"""Decibels from which on what is left of a difference is the rounding of float32."""


@dataclass(frozen=True)
class Measure:
    """How well values survive.

    Attributes:
        snr: Signal to noise in decibels, of the integers against the float model: with the errors of all layers before.
        own_snr: The same of rounding the float values to this grid alone.
        saturation: Share of the values, in float, that lie beyond the end codes.
    """

    snr: float
    own_snr: float
    saturation: float


@dataclass(frozen=True)
class Bucket:
    """The rows of nodes whose in-degree is `low` to `high`; all rows, where they are no nodes."""

    low: int
    high: int
    rows: int
    measure: Measure

    @property
    def label(self) -> str:
        """As `4-7`."""
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True)
class Stored:
    """A stored tensor.

    Attributes:
        name: What the Program calls it.
        layer: Path of the module that it belongs to; the name of the call where that is none.
        codes: `uint8`, `int4`, ...
        rows: What its rows are.
        measure: Over all of them.
        buckets: The same by in-degree, where the rows are nodes; else one bucket.
    """

    name: str
    layer: str
    codes: str
    rows: Rows
    measure: Measure
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True)
class Source:
    """A source of the error at the output: a layer, or another call that stores something.

    Attributes:
        layer: As in `Stored`.
        override: The path to give to `recipe.override` for it; empty where only the whole recipe has a say.
        bits: Bits of its activations and weights; None where it has none.
        activations: Its share of the error at the output, in 0 to 1, by the tensors it stores: the error with these quantizers alone,
            over the sum of those of all sources.
        weights: The same by its weights.
        snr_without: Signal to noise at the output, in decibels, with all quantizers but these.
    """

    layer: str
    override: str
    bits: tuple[int | None, int | None]
    activations: float
    weights: float
    snr_without: float

    @property
    def share(self) -> float:
        """Of both."""
        return self.activations + self.weights


@dataclass(frozen=True)
class Diagnosis:
    """Where a quantized model loses its accuracy; `print` shows it.

    Attributes:
        stored: Every stored tensor, in the order of the forward.
        sources: Every source of error, the largest first.
        snr: Signal to noise of the output, in decibels, before a float epilogue.
        changed: Share of the output's rows whose largest channel is another one than in float; None where there is one channel.
        advice: What to try, the most promising first.
    """

    stored: tuple[Stored, ...]
    sources: tuple[Source, ...]
    snr: float
    changed: float | None
    advice: tuple[str, ...]

    @property
    def worst(self) -> Source:
        """The source of most of the error."""
        return self.sources[0]

    def tables(self) -> tuple[Table, Table]:
        """The stored tensors, and the sources of the error at the output."""
        stored = Table("Stored tensors, integers against float", _STORED, [_stored(one) for one in self.stored])
        return stored, Table("Sources of the error at the output", _SOURCES, [_source(one) for one in self.sources])

    def headline(self) -> str:
        """The output in one sentence."""
        changed = "" if self.changed is None else f"; {100 * self.changed:.1f} % of the rows answer differently"
        return f"output: {_decibels(self.snr)} dB{changed}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: decibels without noise are None."""
        return {key: _finite(value) for key, value in asdict(self).items()}

    def draw(self, path: str | PathLike[str]) -> None:
        """Writes a PNG: signal to noise of each tensor by in-degree, beside each layer's share of the error.

        Raises:
            MissingExtraError: If matplotlib is not installed.
            PictureError: If the file cannot be written.
        """
        from degreequant.diagnosis.picture import draw_diagnosis

        draw_diagnosis(self, path)

    def __str__(self) -> str:
        return "\n\n".join([self.headline(), *map(str, self.tables()), "\n".join(["What to try", *(f"- {line}" for line in self.advice)])])


_STORED: dict[str, Side] = {
    "tensor": "left",
    "codes": "left",
    "SNR dB": "right",
    "own": "right",
    "worst at degree": "right",
    "cut off": "right",
    "most at degree": "right",
}
_SOURCES: dict[str, Side] = {"layer": "left", "error": "right", "activations": "right", "weights": "right", "SNR dB without": "right"}


def _stored(one: Stored) -> tuple[str, ...]:
    whole, worst = one.measure, min(one.buckets, key=lambda bucket: bucket.measure.snr)
    most = max(one.buckets, key=lambda bucket: bucket.measure.saturation)
    of_nodes = one.rows == "nodes"
    return (
        one.name,
        one.codes,
        _decibels(whole.snr),
        _decibels(whole.own_snr),
        f"{_decibels(worst.measure.snr)} at {worst.label}" if of_nodes else f"({one.rows})",
        _percent(whole.saturation),
        f"{_percent(most.measure.saturation)} at {most.label}" if of_nodes and most.measure.saturation else "",
    )


def _source(one: Source) -> tuple[str, ...]:
    return one.layer, _percent(one.share), _percent(one.activations), _percent(one.weights), _decibels(one.snr_without)


def _decibels(value: float) -> str:
    return "exact" if value > EXACT else f"{value:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
