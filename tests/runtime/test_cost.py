"""The cost of every sample program, on a graph and by the graph's size alone."""

import numpy as np
import programs
import pytest
import samples

from degreequant.runtime.cost import costs, costs_at

NODES, GRAPHS = 12, 3
PROGRAMS = {"gcn": programs.gcn(), "gin": samples.gin(), "gat": samples.gat(edges=False), "molecules": samples.molecules()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_size_of_a_graph_says_what_the_graph_does(name):
    program = PROGRAMS[name]
    inputs = samples.call_arguments(program, np.random.default_rng(0), NODES, 0, GRAPHS)
    inputs["edge_index"] = np.stack([np.arange(NODES), np.roll(np.arange(NODES), 1)])
    for entry in program.inputs:
        if entry.role in ("edge_features", "edge_categories"):
            inputs[entry.name] = np.ones((NODES, entry.channels), np.float32 if entry.role == "edge_features" else np.int64)
    if "batch" in inputs:
        inputs["batch"] = np.arange(NODES) * GRAPHS // NODES
    assert costs_at(program, nodes=NODES, edges=NODES, graphs=GRAPHS) == costs(program, **inputs)


def test_products_are_counted_by_hand():
    """A GCN of 4 features, 5 units and 3 classes on a ring, to whose edges come the self loops."""
    found = {cost.name: cost for cost in costs_at(programs.gcn(widths=(5, 3)), nodes=NODES, edges=NODES)}
    multiplications = [cost.multiplications for cost in found.values()]
    assert multiplications == [4 * NODES, 4 * 5 * NODES, 5 * 2 * NODES, 0, 5 * 3 * NODES, 3 * 2 * NODES], "the fourth is a ReLU"
    assert all(cost.operations == 2 * cost.multiplications for cost in found.values())
