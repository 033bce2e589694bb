import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from degreequant.report import degree_picture
from degreequant.report.degree_picture import draw_degree_error


def series(nodes=200, seed=0):
    rng = np.random.default_rng(seed)
    degree = rng.zipf(2.0, nodes).clip(0, 300)
    return degree, rng.random(nodes) / np.sqrt(degree)


def test_a_picture_is_written(tmp_path):
    path = tmp_path / "error.png"
    draw_degree_error({"INT8": series(), "INT4": series()}, "a title", path)
    pixels = imread(path)
    assert pixels.shape[:2] == (660, 1080)
    assert pixels.std() > 0.01
    assert [entry.name for entry in tmp_path.iterdir()] == ["error.png"]


@pytest.mark.parametrize(
    ("degree", "buckets"),
    [
        ([0, 1, 2, 3, 4], [(0, 0), (1, 1), (2, 3), (4, 7)]),
        ([1, 7, 8], [(1, 1), (4, 7), (8, 15)]),
        ([5], [(4, 7)]),
        ([0], [(0, 0)]),
        ([1, 64], [(1, 1), (64, 127)]),
    ],
)
def test_buckets_double_in_width_and_none_is_empty(degree, buckets):
    assert degree_picture._buckets(np.array(degree)) == buckets


def test_what_is_drawn(tmp_path, monkeypatch):
    """Medians and quartiles of each bucket, by hand."""
    drawn = {}
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update(axes=figure.axes[0]))
    degree, error = np.array([1, 1, 1, 2, 3, 9]), np.array([1.0, 2.0, 3.0, 4.0, 6.0, 7.0])
    draw_degree_error({"INT8": (degree, error), "INT4": (degree, 2 * error)}, "a title", tmp_path / "error.png")
    axes = drawn["axes"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2, 5, 7])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [4, 10, 14])
    assert [label.get_text().split() for label in axes.get_xticklabels()] == [["1", "n=3"], ["2-3", "n=2"], ["8-15", "n=1"]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["INT8", "INT4"]
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.5, 7.0)


def test_no_error_at_all_is_drawn_without_a_warning(tmp_path):
    degree, error = series()
    draw_degree_error({"INT8": (degree, error), "exact": (degree, 0 * error)}, "zeros", tmp_path / "error.png")
    draw_degree_error({"exact": (degree, 0 * error)}, "zeros", tmp_path / "zeros.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("error.png", "zeros.png"))


def test_without_matplotlib_the_extra_is_named(tmp_path):
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from degreequant.errors import MissingExtraError
from degreequant.report.degree_picture import draw_degree_error
try:
    draw_degree_error({"a": (np.array([1]), np.array([1.0]))}, "", "x.png")
except MissingExtraError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout.startswith("pictures need matplotlib")
    assert result.stdout.endswith("; install it with: pip install 'degreequant[report]'\n")
