import pytest
import torch

from degreequant.data.graphs import GraphSet, Split
from degreequant.data.parsed import parsed
from degreequant.errors import DatasetError

ONE = torch.tensor([1])
"""Folds share their parts."""


def graphs(**changes):
    values = {
        "x": torch.arange(6.0).reshape(3, 2),
        "edge_index": torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8),
        "node_ptr": torch.tensor([0, 2, 3]),
        "edge_ptr": torch.tensor([0, 2, 2]),
        "y": torch.tensor([1, 0]),
        "splits": (Split(torch.tensor([0]), torch.tensor([], dtype=torch.long), ONE), Split(ONE, ONE, torch.tensor([0]))),
    }
    return GraphSet(**values | changes)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "raw.txt"
    path.write_text("1")
    return path


def cached(source):
    return list((source.parent / "cache" / "parsed").iterdir())


@pytest.mark.parametrize(
    "changes",
    [{}, {"node_types": 4, "x": torch.tensor([3, 0, 1])}, {"edge_attr": torch.ones(2)}, {"test_parts": {"all of it": torch.tensor([1])}}],
    ids=["plain", "types", "edge values", "test parts"],
)
def test_what_was_parsed_comes_back(source, changes):
    made = graphs(**changes)
    parsed("set", [source], lambda: made)
    found = parsed("set", [source], lambda: pytest.fail("read again"))
    for name in ("x", "edge_index", "node_ptr", "edge_ptr", "y"):
        assert torch.equal(getattr(found, name), getattr(made, name))
    assert found.node_types == made.node_types
    assert (found.edge_attr is None) == (made.edge_attr is None)
    assert [[part.tolist() for part in split] for split in found.splits] == [[[0], [], [1]], [[1], [1], [0]]]
    assert {name: part.tolist() for name, part in found.test_parts.items()} == {n: p.tolist() for n, p in made.test_parts.items()}


def test_other_content_is_parsed_anew(source):
    parsed("set", [source], graphs)
    source.write_text("2")
    assert parsed("set", [source], lambda: graphs(y=torch.tensor([0, 0]))).y.tolist() == [0, 0]
    assert len(cached(source)) == 2


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-5], lambda content: b"\xff" * 100])
def test_a_damaged_cache_is_parsed_over(source, damage):
    parsed("set", [source], graphs)
    (path,) = cached(source)
    path.write_bytes(damage(path.read_bytes()))
    assert parsed("set", [source], graphs).y.tolist() == [1, 0]
    assert parsed("set", [source], lambda: pytest.fail("read again")).y.tolist() == [1, 0]


def test_where_nothing_can_be_kept(source, monkeypatch):
    (source.parent / "file").write_text("")
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(source.parent / "file" / "below"))
    assert parsed("set", [source], graphs).y.tolist() == [1, 0]


def test_missing_sources_are_the_readers_business(source):
    def read():
        raise DatasetError("no file")

    with pytest.raises(DatasetError, match="no file"):
        parsed("set", [source.parent / "none"], read)
