import numpy as np
import pytest

from degreequant.data import slic
from degreequant.errors import DatasetError

pytest.importorskip("skimage", reason="scikit-image is not installed: no superpixels of own images")


def test_nodes_are_the_means_of_their_segments():
    """Of a black and a white half: every node lies in one of them, and has its colour."""
    image = np.zeros((16, 16, 1))
    image[:, 8:] = 1
    color, place = slic.cut(image, slic.Slic(8, compactness=0.01, extra=4))
    assert 2 <= len(color) <= 8
    assert ((place[:, 1] > 7.5) == (color[:, 0] > 0.5)).all()
    np.testing.assert_allclose(np.abs(color - 0.5), 0.5, atol=1e-12)
    assert 0 <= place.min() <= place.max() <= 15


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_in_the_stored_layout(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, channels), dtype=np.uint8)
    arrays = slic.build(list(images[..., 0] if channels == 1 else images), np.array([0, 1, 1]), slic.Slic(10, extra=5))
    total = int(arrays["num_nodes"].sum())
    assert arrays["num_nodes"].max() <= 10
    assert arrays["color"].shape == ((total,) if channels == 1 else (channels, total))
    assert (arrays["row"].shape, arrays["color"].dtype, int(arrays["side"])) == ((total,), np.float16, 16)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((4, 4)), np.zeros((4, 5))], "of several shapes"),
        ([np.zeros((4, 4)), np.full((4, 4), 7.0)], r"uint8 or in 0\.\.1"),
        ([np.zeros(4), np.zeros(4)], "an image of shape"),
        ([np.zeros((4, 4))], "a label for each"),
    ],
)
def test_images_that_are_refused(images, message):
    with pytest.raises(DatasetError, match=message):
        slic.build(images, np.array([0, 1]), slic.Slic(4))
