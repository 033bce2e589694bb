"""Message protection in every model of the family: which rows of which stored tensor a mask leaves unquantized."""

import pytest
import torch
import trials
from family import FAMILY, SLOW
from worlds import USUAL

import degreequant as dq
from degreequant.nn.sites.site import Context
from degreequant.protect import Protection
from degreequant.quant.fake import ActivationQuantizer
from degreequant.quant.observers import RangeObserver

RECIPE = dq.Recipe.degree_quant(4, p_min=0.5, p_max=0.5).replace(ranges="minmax", percentile=0.0, momentum=None)
NODES = len(USUAL["batch"])
PROTECTED = torch.arange(NODES) % 3 == 0
ON_A_GRAPH = [name for name in FAMILY if "plain Sequential" not in name]


def kept(model, given, protected):
    """What a training forward with this mask stores, by name; the ranges are those of a forward without."""
    found = []
    keep = Context.keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Protection, "draw", lambda *_: torch.zeros(NODES, dtype=torch.bool))
        model(**given)
        patch.setattr(Protection, "draw", lambda *_: protected)
        patch.setattr(RangeObserver, "include", lambda *_: None)
        patch.setattr(Context, "keep", lambda self, name, value: found.append((name, value.detach())) or keep(self, name, value))
        model(**given)
    return found


def off_the_grid(values, quantizer):
    """Which rows hold a value that no code has."""
    grid = quantizer.grid()
    steps = values.double() / grid.scale + grid.zero_point
    return ((steps - steps.round()).abs() > 1e-3).any(dim=1) | (steps.round() > grid.spec.q_max).any(dim=1)


def masks_leave_alone(name):
    model = trials.prepared(name, RECIPE)
    quantizers = {part.name: part for part in model.modules() if isinstance(part, ActivationQuantizer)}
    rows = {site.spec.name: site.spec.rows for site in model.dq_sites.values()}
    found = kept(model, trials.arguments(name), PROTECTED)
    for key, values in found:
        quantizer = quantizers.get(key.replace("edge_logits", "logits"))
        if quantizer is None:
            continue  # a ReLU on a stored tensor, or a maximum: it keeps the values that it reads
        off = off_the_grid(values, quantizer)
        site = max((path for path in rows if key == path or key.startswith(f"{path}.")), key=len)
        if rows[site] == "nodes" and not key.endswith(".edge_logits"):
            assert len(values) == NODES, key
            assert not off[~PROTECTED].any(), key
            assert off[PROTECTED].any(), key
        else:
            assert not off.any(), key


@pytest.mark.parametrize("name", ON_A_GRAPH)
def test_protected_rows_pass_and_all_others_are_quantized(name):
    masks_leave_alone(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_other_model(name):
    masks_leave_alone(name)
