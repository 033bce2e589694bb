"""Small slices of the real data sets, so that the whole pipeline runs on real graphs in seconds; None where they are not at hand."""

import dataclasses
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from degreequant.data import available, load, superpixels
from degreequant.data.folders import data_folder
from degreequant.data.graphs import GraphSet, Split

SUPERPIXELS = {"mnist": "MNIST", "cifar10": "CIFAR10"}


@cache
def real_slice(name, train=32, rest=16):
    """The data set with its first `train` training graphs and `rest` of the others, in every fold; one graph as it is."""
    if not available(name):
        return None
    if name in SUPERPIXELS:
        return superpixel_slice(SUPERPIXELS[name], train + rest, rest)
    data = load(name)
    if not isinstance(data, GraphSet):
        return data
    return dataclasses.replace(data, splits=tuple(Split(s.train[:train], s.val[:rest], s.test[:rest]) for s in data.splits))


def superpixel_slice(name, count, validation):
    """A set of the first `count` images of each file, read and built as the whole one is; None where the files are not at hand."""
    root, images = data_folder(), superpixels.SETS[name]
    if root is None or not all((root / "superpixels" / file).is_file() for file in images.files):
        return None
    with TemporaryDirectory() as folder:
        paths = [_cut(root / "superpixels" / file, Path(folder) / file, count) for file in images.files]
        with patch.object(superpixels, "VALIDATION", validation):
            return superpixels._build(name, paths)


def _cut(source, target, count):
    with np.load(source) as arrays:
        nodes = int(arrays["num_nodes"][:count].sum(dtype=np.int64))
        np.savez(target, **{key: arrays[key][..., : count if key in ("num_nodes", "label") else nodes] for key in arrays})
    return target
