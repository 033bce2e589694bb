"""The picture of what an edge costs."""

from degreequant.report.growth_picture import draw_growth, lines


def row(contender, threads, edges, cost):
    return {"contender": contender, "threads": threads, "edges": edges, "ns_per_edge": cost}


ROWS = [
    row("INT8", 1, 1_000_000, 5.0),
    row("INT8", 1, 100_000, 9.0),
    row("PyG CSR int64", 2, 1_000_000, 30.0),
    row("INT8", 1, 1_000_000, 4.0),
]


def test_points_are_ordered_and_the_last_row_of_each_counts():
    found = lines([*ROWS, {"contender": "PyG edge_index", "threads": 1, "edges": 5, "reason": "needs memory"}])
    assert found == {("INT8", 1): [(100_000, 9.0), (1_000_000, 4.0)], ("PyG CSR int64", 2): [(1_000_000, 30.0)]}


def test_a_picture_is_written(tmp_path):
    draw_growth(ROWS, "Growth", tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"
