"""Superpixels of a user's own images, by scikit-image's SLIC, in the layout of the stored sets (`degreequant.data.superpixels`).

The recipe is that of "Benchmarking Graph Neural Networks" (Knyazev et al.): SLIC is asked for some segments more than wanted, and then
for one less until at most so many come back; a node is a segment, with its mean colour and its centre of mass. The version of
scikit-image matters: 0.16 gives the published 70.6 nodes on MNIST and 117.6 on CIFAR-10, newer ones some 67 and 109.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from degreequant.errors import DatasetError, MissingExtraError
from degreequant.files import reason

Floats = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Slic:
    """How images are cut.

    Attributes:
        superpixels: The most nodes of an image, 2 to 255.
        compactness: How much place counts against colour; 10 for photographs, 0.25 for MNIST.
        extra: How many segments more than wanted SLIC is asked for at first.

    Raises:
        DatasetError: If a value is out of range.
    """

    superpixels: int = 150
    compactness: float = 10.0
    extra: int = 50

    def __post_init__(self) -> None:
        if not 2 <= self.superpixels <= 255:
            raise DatasetError(f"superpixels is {self.superpixels}; expected 2 to 255 for each image")
        if not self.compactness > 0:
            raise DatasetError(f"compactness is {self.compactness}; expected more than 0")
        if self.extra < 0:
            raise DatasetError(f"extra is {self.extra}; expected 0 or more")


def cut(image: Floats, how: Slic) -> tuple[Floats, Floats]:
    """Mean colours `[nodes, channels]` and centres of mass `[nodes, 2]` (row, column, in pixels) of an image.

    Args:
        image: `[rows, columns, channels]`, in 0..1.
        how: How it is cut.

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    slic = _skimage("segmentation").slic
    pixels = image[..., 0] if image.shape[2] == 1 else image
    axis = None if image.shape[2] == 1 else -1
    for asked in range(how.superpixels + how.extra, 0, -1):
        labels = slic(pixels, n_segments=asked, compactness=how.compactness, channel_axis=axis, start_label=0)
        names, owner = np.unique(labels, return_inverse=True)
        if len(names) <= how.superpixels:
            break
    owner = owner.ravel()
    size = np.bincount(owner)
    places = np.argwhere(np.ones(labels.shape, bool))
    mean = np.empty((len(names), image.shape[2] + 2))
    for number, column in enumerate((*image.reshape(owner.size, -1).T, *places.T)):
        mean[:, number] = np.bincount(owner, weights=column) / size
    return mean[:, :-2], mean[:, -2:]


def build(images: Sequence[npt.NDArray[Any]], labels: npt.NDArray[np.int64], how: Slic) -> Arrays:
    """The arrays of a file: `num_nodes` and `label` of each image, `color`, `row` and `col` of each node, and the images' `side`.

    Shows its progress where there is a terminal.

    Args:
        images: `[rows, columns]` or `[rows, columns, channels]` each, all of one shape, uint8 or in 0..1.
        labels: The class of each, from 0.
        how: How they are cut.

    Raises:
        DatasetError: If the images differ in shape, or have other values.
        MissingExtraError: If scikit-image is not installed.
    """
    real = [_real(image) for image in images]
    if len({image.shape for image in real}) != 1 or len(real) != len(labels):
        raise DatasetError("the images are of several shapes, or not as many as their labels; expected one shape, and a label for each")
    cuts = [cut(image, how) for image in tqdm(real, desc="superpixels", unit=" images", disable=None)]
    color = np.concatenate([color for color, _ in cuts]).astype(np.float16)
    place = np.concatenate([place for _, place in cuts]).astype(np.float16)
    return {
        "num_nodes": np.array([len(color) for color, _ in cuts], np.uint8),
        "label": np.asarray(labels, np.int64),
        "color": color[:, 0] if color.shape[1] == 1 else np.ascontiguousarray(color.T),
        "row": place[:, 0],
        "col": place[:, 1],
        "side": np.array(max(real[0].shape[:2]), np.int64),
    }


def read_images(folder: Path) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int64], list[str]]:
    """The images of a folder, one folder in it for each class, the number of each one's class, and the names of the classes.

    What begins with a dot is left out.

    Raises:
        DatasetError: If there are none, one cannot be read, or one differs from the first in shape.
        MissingExtraError: If scikit-image is not installed.
    """
    classes = sorted(path.name for path in _seen(folder) if path.is_dir()) if folder.is_dir() else []
    files = [(path, number) for number, name in enumerate(classes) for path in sorted(_seen(folder / name)) if path.is_file()]
    if not files:
        raise DatasetError(f"{folder}: no images; expected a folder with a folder of images for each class")
    if empty := set(range(len(classes))) - {number for _, number in files}:
        raise DatasetError(f"{folder / classes[min(empty)]}: no images; expected some of every class, or no folder for it")
    imread = _skimage("io").imread
    images: list[npt.NDArray[Any]] = []
    for path, _ in files:
        try:
            images.append(np.asarray(imread(io.BytesIO(path.read_bytes()))))  # of a path that is no image, readers leave the file open
        except Exception as error:  # readers of images raise whatever a damaged header leads them to
            raise DatasetError(f"{path}: cannot be read as an image ({reason(error)}); take it out of the folder") from None
        if images[-1].shape != images[0].shape:
            raise DatasetError(f"{path}: an image of shape {images[-1].shape}; expected {images[0].shape}, as {files[0][0]} has")
    return images, np.array([number for _, number in files]), classes


def _seen(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _real(image: npt.NDArray[Any]) -> Floats:
    """An image `[rows, columns, channels]` in 0..1."""
    pixels = image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)
    if pixels.ndim not in (2, 3) or pixels.size == 0 or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise DatasetError(
            f"an image of shape {image.shape} and type {image.dtype}; expected [rows, columns(, channels)], uint8 or in 0..1"
        )
    return pixels.reshape(*pixels.shape[:2], -1)


def _skimage(part: str) -> Any:
    try:
        return import_module(f"skimage.{part}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"superpixels need {error.name}; install it with: pip install 'degreequant[superpixels]'") from None
