"""A node classification task of the size of a unit test."""

import torch
from torch_geometric.data import Data

torch.set_num_threads(1)  # tensors this small are no faster on two, and on a busy machine tens of times slower


def task(nodes=60, classes=3, channels=8, seed=0):
    """Three groups that are easy to tell apart: directed edges, some nodes without any, masks of a third each."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    x = torch.rand(nodes, channels, generator=generator) + 2 * torch.nn.functional.one_hot(y, channels)
    source, target = torch.randint(nodes - 5, (2, 6 * nodes), generator=generator)
    same = y[source] == y[target]
    part = torch.randperm(nodes, generator=generator) % 3
    return Data(
        x=x,
        edge_index=torch.stack([source[same], target[same]]),
        y=y,
        train_mask=part == 0,
        val_mask=part == 1,
        test_mask=part == 2,
    )
