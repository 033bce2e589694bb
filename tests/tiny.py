"""Tasks of the size of a unit test: nodes of one graph, and many graphs."""

import torch
from torch_geometric.data import Data

from degreequant.data.graphs import GraphSet, Split, pointers

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


def graphs(count=30, classes=3, channels=4, types=False, numbers=False, seed=0, folds=2):
    """Graphs of 1 to 8 nodes, some without edges, whose nodes tell what is asked of them; a third for each part, in every fold anew."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high, size: torch.randint(high, size, generator=generator)  # noqa: E731
    y = torch.arange(count) % classes
    nodes, edges = 1 + draw(8, (count,)), draw(20, (count,))
    owner, edge_owner = (torch.arange(count).repeat_interleave(sizes) for sizes in (nodes, edges))
    kind = (y[owner] + (draw(6, owner.shape) == 0)) % classes
    x = kind if types else torch.rand(len(owner), channels, generator=generator) + 2 * torch.nn.functional.one_hot(kind, channels)
    ends = (torch.rand(2, len(edge_owner), generator=generator) * nodes[edge_owner]).long()
    parts = [torch.arange(count)[(torch.arange(count) // classes + fold) % 3 == part] for fold in range(folds) for part in range(3)]
    return GraphSet(
        x=x,
        edge_index=ends,
        node_ptr=pointers(nodes),
        edge_ptr=pointers(edges),
        y=y.float().unsqueeze(1) if numbers else y,
        splits=tuple(Split(*parts[3 * fold : 3 * fold + 3]) for fold in range(folds)),
        node_types=classes if types else None,
        edge_attr=torch.arange(len(edge_owner)),
    )
