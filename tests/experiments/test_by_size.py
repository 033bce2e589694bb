from degreequant.experiments.by_size import GRAPHS, size_rows
from degreequant.experiments.experiment import REVISION


def test_the_papers_example():
    """Two layers of 32 units on Reddit: 81 KB of weights, and some 13 G products, which are 4.8 G of the layers and 8.4 G of the edges."""
    rows = {row["graph"]: row for row in size_rows()}
    assert list(rows) == [graph.name for graph in GRAPHS]
    reddit = rows["Reddit"]
    assert round(reddit["float_weight_bytes"] / 1024) == 81
    nodes, edges = 232_965, 114_615_892
    expected = nodes * (602 * 32 + 32 * 41) + (edges + nodes) * (32 + 41)
    assert expected <= reddit["multiplications"] <= 1.02 * expected
    assert reddit["operations"] == 2 * reddit["multiplications"]
    assert reddit["bytes_moved"]["int4"] < reddit["bytes_moved"]["int8"]


def test_known_rows_are_left_out():
    known = {f"by-size/{name}/{REVISION}" for name in ("cora", "pubmed", "reddit")}
    assert [row["key"] for row in size_rows(known)] == [f"by-size/citeseer/{REVISION}"]
