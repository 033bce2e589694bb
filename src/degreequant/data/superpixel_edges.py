"""Which superpixels are neighbours: the rule of "Benchmarking Graph Neural Networks", for thousands of images at a time.

With `p` the place of a node in units of the image's side and `f` its colour, per image:

    s(D)_i = (sum of the nine smallest of row i of D, its own 0 among them) / 8 + 1e-8
    A      = exp(-(Dp / s(Dp))^2 - (Df / s(Df))^2),    made symmetric as (A + A^T) / 2

where `Dp` and `Df` are the distances of the nodes in `p` and in `f`. Each node has an edge to its 8 strongest neighbours, and so 8 leave it
while any number may arrive. Of neighbours of equal strength the first are taken, and everything is computed in float64, so that the edges
depend on the nodes alone.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

NEIGHBOURS = 8
IMAGES_AT_A_TIME = 8
"""As many as fit a processor's cache."""

Floats = npt.NDArray[np.float64]


def superpixel_edges(
    num_nodes: npt.NDArray[np.int64], color: npt.NDArray[np.floating], place: npt.NDArray[np.floating]
) -> npt.NDArray[np.uint8]:
    """The edges `[2, E]` of all images, one after the other, each by source and then target, counted from 0 in each image.

    An image of `n` nodes has `n * min(8, n - 1)` edges: with 9 nodes or fewer all pairs. Shows its progress where there is a terminal.

    Args:
        num_nodes: Nodes of each image `[images]`, at most 256.
        color: `[nodes, channels]`, in 0..1.
        place: `[nodes, 2]`, row and column in units of the image's side.

    >>> place = np.array([[0, 0], [0, 0.1], [0.9, 0.9]])
    >>> superpixel_edges(np.array([3]), np.zeros((3, 1)), place)
    array([[0, 0, 1, 1, 2, 2],
           [1, 2, 0, 2, 0, 1]], dtype=uint8)
    """
    first_node = np.cumsum(num_nodes) - num_nodes
    degree = np.minimum(NEIGHBOURS, np.maximum(num_nodes - 1, 0))
    first_edge = np.cumsum(num_nodes * degree) - num_nodes * degree
    edges = np.empty((2, int((num_nodes * degree).sum())), np.uint8)

    def fill(images: npt.NDArray[np.int64]) -> int:
        nodes = int(num_nodes[images[0]])
        rows = first_node[images, None] + np.arange(nodes)
        found = _neighbours(color[rows].astype(np.float64), place[rows].astype(np.float64))
        columns = first_edge[images, None] + np.arange(found.shape[1] * found.shape[2])
        edges[0, columns] = np.repeat(np.arange(nodes), found.shape[2])
        edges[1, columns] = found.reshape(len(images), -1)
        return len(images)

    with (
        tqdm(total=len(num_nodes), desc="superpixel edges", unit=" images", disable=None) as bar,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for done in pool.map(fill, _alike(num_nodes)):
            bar.update(done)
    return edges


def _alike(num_nodes: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Images of one number of nodes, some at a time."""
    order = np.argsort(num_nodes, kind="stable")
    for images in np.split(order, np.flatnonzero(np.diff(num_nodes[order])) + 1):
        for begin in range(0, len(images), IMAGES_AT_A_TIME):
            yield images[begin : begin + IMAGES_AT_A_TIME]


def _neighbours(color: Floats, place: Floats) -> npt.NDArray[np.int64]:
    """The strongest neighbours `[images, nodes, degree]` of each node, ascending."""
    nodes = color.shape[1]
    if nodes <= NEIGHBOURS + 1:
        others = [[other for other in range(nodes) if other != node] for node in range(nodes)]
        return np.broadcast_to(np.array(others, np.int64).reshape(nodes, max(nodes - 1, 0)), (len(color), nodes, max(nodes - 1, 0)))
    similarity = np.exp(-(_scaled(place) ** 2) - _scaled(color) ** 2)
    similarity += similarity.transpose(0, 2, 1).copy()
    similarity[:, np.arange(nodes), np.arange(nodes)] = -1
    weakest = np.partition(similarity, nodes - NEIGHBOURS, axis=-1)[..., nodes - NEIGHBOURS, None]
    above, equal = similarity > weakest, similarity == weakest
    chosen = above | (equal & (equal.cumsum(-1) <= NEIGHBOURS - above.sum(-1, keepdims=True)))
    return np.nonzero(chosen)[2].reshape(len(color), nodes, NEIGHBOURS)


def _scaled(points: Floats) -> Floats:
    """Distances `[images, nodes, nodes]` in units of the mean distance of a row's node to its nearest."""
    squared = np.zeros((points.shape[0], points.shape[1], points.shape[1]))
    for channel in range(points.shape[2]):
        squared += (points[:, :, None, channel] - points[:, None, :, channel]) ** 2
    distance = np.sqrt(squared)
    nearest = np.partition(distance, NEIGHBOURS, axis=-1)[..., : NEIGHBOURS + 1]
    distance /= nearest.sum(-1, keepdims=True) / NEIGHBOURS + 1e-8
    return distance
