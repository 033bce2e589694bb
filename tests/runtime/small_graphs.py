"""Graphs with everything that a graph may have, and the ways in which a GCN weighs them."""

from hypothesis import strategies as st

from degreequant.operations import EdgeNorm

NORMS = [
    EdgeNorm(),
    EdgeNorm(improved=True),
    EdgeNorm(add_self_loops=False),
    EdgeNorm(normalize=False, add_self_loops=False),
]


@st.composite
def graphs(draw):
    """Nodes and edges with duplicates, self loops and isolated nodes, and a weight for each edge."""
    nodes = draw(st.integers(1, 6))
    node = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=12))
    weight = st.one_of(st.just(0.0), st.floats(0.0625, 2, width=32))
    return nodes, edges, draw(st.lists(weight, min_size=len(edges), max_size=len(edges)))


LOOPS_TWICE = (3, [(0, 0), (0, 1), (0, 0), (0, 1), (1, 0)], [0.5, 1.0, 2.0, 0.25, 1.5])
