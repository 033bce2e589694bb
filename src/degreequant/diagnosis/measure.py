"""`diagnose`: runs a prepared model on data in float, in integers, and with one quantizer after the other."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from degreequant.diagnosis.advice import advise
from degreequant.diagnosis.result import Diagnosis, Source, Stored
from degreequant.diagnosis.tally import Tally, bucket_of
from degreequant.errors import PrepareError
from degreequant.nn.calls import Call, batches_of, call_of, inputs_of
from degreequant.nn.prepared import SITES, PreparedModel, stored_codes, stored_floats
from degreequant.nn.rewriting.roles import count_of
from degreequant.nn.sites.site import Site
from degreequant.nn.switches import Quantizer, quantizers, quantizing, settings_path
from degreequant.operations import Rows
from degreequant.protect import edge_list
from degreequant.quant.fake import WeightQuantizer
from degreequant.quant.signal import decibels
from degreequant.scheme import TensorSpec

Chosen = Callable[[str, Quantizer], bool]


def diagnose(qmodel: nn.Module, data: Any, *, batches: int | None = None) -> Diagnosis:
    """Where a prepared and trained (or calibrated) model loses its accuracy, and what to try.

    The reference is the model itself with all quantizers off, so the error is that of quantization alone, not of training. Labels are not
    needed. The model is not changed. It takes three forwards for each layer.

    Args:
        qmodel: What `prepare` or `calibrate` returned, with ranges observed.
        data: What to call it with, as `calibrate` takes it.
        batches: Only so many of an iterable, from its beginning.

    Raises:
        PrepareError: If the model was not prepared, quantizes nothing, or there is no data.
        NotCalibratedError: If a range was never observed.

    >>> from torch_geometric.nn import GCNConv
    >>> from degreequant.nn.calibrate import calibrate
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = GCNConv(4, 2)
    ...     def forward(self, x, edge_index):
    ...         return self.conv(x, edge_index)
    >>> data = {"x": torch.rand(3, 4), "edge_index": torch.tensor([[0, 1, 2], [1, 2, 0]])}
    >>> [stored.name for stored in diagnose(calibrate(Net(), data), data).stored]
    ['x', 'conv.lin', 'conv']
    """
    if not isinstance(qmodel, PreparedModel) or qmodel.dq.recipe.is_float:
        raise PrepareError(f"diagnose takes a quantized model that prepare or calibrate returned, got {_what(qmodel)}")
    calls = [call_of(qmodel, batch) for batch in batches_of(data, batches)]
    stored, changed = _compare(qmodel, calls)
    sources, snr = _sources(qmodel, calls)
    return Diagnosis(stored, sources, snr, changed, advise(stored, sources, snr, changed, qmodel.dq.recipe))


def _what(model: object) -> str:
    return "a model of Recipe.fp32()" if isinstance(model, PreparedModel) else f"a {type(model).__name__}"


def _none(site: str, quantizer: Quantizer) -> bool:
    return False


def _compare(model: PreparedModel, calls: list[Call]) -> tuple[tuple[Stored, ...], float | None]:
    """Every stored tensor beside float, and the share of the output's rows that answer differently."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    specs: dict[str, TensorSpec] = {}
    rows: dict[str, Rows] = {}
    answers, different, channels = 0, 0, 1
    for call in calls:
        with quantizing(model, _none):
            reference = stored_floats(model, *call.args, **call.kwargs)
        codes = stored_codes(model, *call.args, **call.kwargs)
        buckets = _buckets(model, call)
        for name, found in codes.items():
            spec = _site(model, name).spec
            rows[name] = spec.rows
            bucket = buckets.get(spec.nodes) if spec.rows == "nodes" else None
            tallies[name].add(reference[name], found, torch.zeros(len(found.codes), dtype=torch.long) if bucket is None else bucket)
            specs[name] = found.grid.spec
        last = next(reversed(codes))
        channels = codes[last].codes.shape[-1]
        different += int((codes[last].codes.argmax(dim=-1) != reference[last].argmax(dim=-1)).sum())
        answers += len(reference[last])
    stored = tuple(
        Stored(name, _layer(_site(model, name)), _codes(specs[name]), rows[name], tally.whole(), tally.buckets())
        for name, tally in tallies.items()
    )
    return stored, different / max(1, answers) if channels > 1 else None


def _buckets(model: PreparedModel, call: Call) -> dict[str, Tensor]:
    """The bucket of each node's in-degree, for every set of nodes at which edges arrive."""
    roles = model.dq.roles
    if roles is None:
        return {}
    values, buckets = inputs_of(model, call), {}
    for nodes, told in roles.sets().items():
        if arriving := [edge_list(values[edges])[1] for edges in roles.edges_into(nodes)]:
            buckets[nodes] = bucket_of(torch.bincount(torch.cat(arriving), minlength=count_of(values[told[0]])))
    return buckets


def _sources(model: PreparedModel, calls: list[Call]) -> tuple[tuple[Source, ...], float]:
    """Every source of error, the largest first; and signal to noise of the output."""
    reference = [_output(model, call, _none) for call in calls]
    signal = sum(float(output.square().sum()) for output in reference)

    def noise(chosen: Chosen) -> float:
        outputs = (_output(model, call, chosen) for call in calls)
        return sum(float((output - exact).square().sum()) for output, exact in zip(outputs, reference, strict=True))

    keys = list(dict.fromkeys(key for key, _ in quantizers(model)))
    alone = {key: [noise(_only(key, weights)) for weights in (False, True)] for key in keys}
    total = sum(map(sum, alone.values())) or 1.0
    found = []
    for key in keys:
        site, (activations, weights) = getattr(model, SITES)[key], (part / total for part in alone[key])
        without = decibels(signal, noise(_all_but(key)))
        found.append(Source(_layer(site), settings_path(model, key), _bits(site), activations, weights, without))
    return tuple(sorted(found, key=lambda source: -source.share)), decibels(signal, noise(lambda site, quantizer: True))


def _only(key: str, weights: bool) -> Chosen:
    return lambda site, quantizer: site == key and isinstance(quantizer, WeightQuantizer) == weights


def _all_but(key: str) -> Chosen:
    return lambda site, quantizer: site != key


def _output(model: PreparedModel, call: Call, chosen: Chosen) -> Tensor:
    """The last tensor that is stored, in float64."""
    with quantizing(model, chosen):
        stored = stored_floats(model, *call.args, **call.kwargs)
    return stored[next(reversed(stored))].double()


def _site(model: PreparedModel, stored: str) -> Site:
    """The site that stores a tensor, which is called as the site is, with something behind it where the site stores several."""
    sites: Iterator[Site] = (site for site in getattr(model, SITES).values() if f"{stored}.".startswith(f"{site.spec.name}."))
    return max(sites, key=lambda site: len(site.spec.name))


def _layer(site: Site) -> str:
    return site.spec.path or site.spec.name


def _codes(spec: TensorSpec) -> str:
    return f"{'int' if spec.signed else 'uint'}{spec.bits}"


def _bits(site: Site) -> tuple[int | None, int | None]:
    weights = any(isinstance(module, WeightQuantizer) for module in site.modules())
    return site.spec.recipe.activation_bits, site.spec.recipe.weight_bits if weights else None
