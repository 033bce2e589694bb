from importlib.util import find_spec

import nets
import pytest
import torch

import degreequant as dq

X, EDGES = nets.graph(nodes=60, edges=200)
pytestmark = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def diagnosis():
    return dq.diagnose(dq.calibrate(nets.Net(), (X, EDGES), dq.Recipe.ptq(4)), (X, EDGES))


def test_a_picture_is_drawn(diagnosis, tmp_path):
    diagnosis.draw(tmp_path / "error.png")
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")


def test_it_shows_every_tensor_bucket_and_source(diagnosis):
    from matplotlib.figure import Figure

    from degreequant.diagnosis.picture import _bars, _columns, _heat

    columns = _columns(diagnosis)
    degrees = torch.bincount(EDGES[1], minlength=60)
    assert columns[0] == "all"
    assert len(columns) - 1 == len({int(degree).bit_length() for degree in degrees})
    left, right = Figure().subplots(1, 2)
    _heat(left, diagnosis, columns)
    _bars(right, diagnosis)
    assert [label.get_text().split()[0] for label in left.get_yticklabels()] == [stored.name for stored in diagnosis.stored]
    assert len(left.texts) == len(diagnosis.stored) * len(columns)
    assert [label.get_text() for label in right.get_yticklabels()] == [source.layer for source in diagnosis.sources]
