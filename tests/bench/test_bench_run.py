"""A small case from end to end: every contender checked and timed, every row complete, the picture drawn."""

import dataclasses

import pytest
import torch

from degreequant.bench import ours, peers, workloads
from degreequant.bench.cases import CASES, find
from degreequant.bench.run import Settings, run
from degreequant.errors import BenchError
from degreequant.report.bench_picture import draw_bench, panels

SMALL = dataclasses.replace(CASES["pubmed-size"], name="small", nodes=60, edges=300, features=20, hidden=16)


@pytest.fixture(scope="module")
def rows():
    threads = torch.get_num_threads()
    found = list(run(SMALL, Settings(repeats=5, threads=(1, 2))))
    torch.set_num_threads(threads)
    return found


def test_every_contender_has_a_row_for_each_architecture_and_number_of_threads(rows):
    names = [*ours.RECIPES, *peers.FORMS]
    assert {(row["arch"], row["threads"], row["contender"]) for row in rows} == {
        (arch, threads, name) for arch in ("gcn", "gin", "gat") for threads in (1, 2) for name in names
    }
    for row in rows:
        assert (row["case"], row["nodes"], row["edges"]) == ("small", 60, 300)
        assert ("reason" in row) != (row.get("ms", 0) > 0 and row["repeats"] == 5)
    without = {(row["arch"], row["contender"]) for row in rows if "reason" in row}
    assert without == {("gat", "PyG CSR int64"), ("gat", "PyG CSR int32")}


def test_what_needs_more_memory_is_left_out():
    found = list(run(SMALL, Settings(repeats=5, room=1e-9, architectures=("gcn",))))
    assert {row["contender"] for row in found if "reason" in row} == {"PyG edge_index", "PyG EdgeIndex"}


def test_a_wrong_answer_is_an_error():
    inputs, small = workloads.load(SMALL)
    work = workloads.workload(SMALL, "gcn", inputs, small)
    answer = ours.engine(ours.program(work, "float32"), inputs, ours.Graph(inputs.edges, 60), 1)()
    with pytest.raises(BenchError, match="one and another give different answers"):
        ours.assert_close(answer, answer + 0.1, "one and another")
    with pytest.raises(BenchError):
        ours.assert_close(answer, answer[:-1], "one and another")


def test_a_large_case_is_checked_on_a_smaller_graph_of_the_same_density():
    large = dataclasses.replace(SMALL, nodes=60_000, edges=3 * workloads.CHECKED_EDGES, features=2)
    inputs, small = workloads.load(large)
    assert inputs.edges.shape == (2, 3 * workloads.CHECKED_EDGES)
    assert small.edges.shape[1] / len(small.x) == pytest.approx(inputs.edges.shape[1] / len(inputs.x), rel=0.01)


def test_the_picture(rows, tmp_path):
    draw_bench(rows, "Full-graph inference", tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes()[:4] == b"\x89PNG"
    found = panels(rows)
    assert list(found)[:2] == [("small\n1 thread", "gcn"), ("small\n2 threads", "gcn")]
    assert max(speed for name, (speed, _) in found["small\n1 thread", "gcn"].items() if name.startswith("PyG")) == 1
    assert not panels([row for row in rows if not row["contender"].startswith("PyG")])


def test_contenders_can_be_chosen():
    found = list(run(SMALL, Settings(repeats=5, architectures=("gin",), contenders=("INT8", "PyG CSR int64"))))
    assert [row["contender"] for row in found] == ["INT8", "PyG CSR int64"]


def test_engines_that_write_where_their_first_answer_lies():
    names = ("float32, out=", "INT8, out=")
    found = list(run(SMALL, Settings(repeats=5, architectures=("gin",), contenders=names)))
    assert sorted(row["contender"] for row in found) == ["INT8, out=", "float32, out="]
    assert all(row["ms"] > 0 for row in found)


def test_limits_take_turns_with_the_programs_that_they_are_of(tmp_path):
    calls = []

    def limit_of(program, inputs, graph, threads):
        return lambda: calls.append((program.output, len(inputs.x), graph.num_edges, threads))

    settings = Settings(repeats=5, architectures=("gcn",), contenders=("INT8", "float32", "PyG CSR int64"))
    found = list(run(SMALL, settings, limit_of=limit_of))
    assert [row["contender"] for row in found] == ["INT8", "float32", "PyG CSR int64", "limit, INT8"]
    assert set(calls) == {("conv2", 60, 300, 1)}
    draw_bench(found, "Beside the limit", tmp_path / "bench.png")
    assert "limit, INT8" in panels(found)["small\n1 thread", "gcn"]
    assert not panels([row for row in found if not row["contender"].startswith("PyG")])


def test_cases_are_found_by_name():
    assert [case.name for case in find(["reddit", "cora"])] == ["reddit", "cora"]
    assert sum(case.seconds for case in find([])) <= 120
    with pytest.raises(BenchError, match="there is no case 'imdb'; there are cora, "):
        find(["imdb"])
