import pytest

from degreequant.report.by_degree import degree_section, over_seeds


def row(arch, qat, ours):
    buckets = [
        {
            "low": 2**k,
            "high": 2 ** (k + 1) - 1,
            "nodes": 100 - k,
            "mean": 1.0,
            "variance": 2.0,
            "gradient INT4 QAT": one,
            "gradient INT4 Degree-Quant": other,
        }
        for k, (one, other) in enumerate(zip(qat, ours, strict=True))
    ]
    return {"figure": "by-degree", "dataset": "cora", "architecture": arch, "buckets": buckets}


def test_what_speaks_against_the_method_is_said():
    html = degree_section({"a": row("gcn", [0.2, 0.3, 0.4], [0.4, 0.5, 0.3]), "b": row("gat", [2.0, 3.0, 4.0], [1.0, 1.0, 1.0])})
    assert "Cora GCN (1 seed): Degree-Quant's error of the gradient is below QAT's in 1 of 3 buckets" in html.replace("&#x27;", "'")
    assert "Cora GAT (1 seed): Degree-Quant's error of the gradient is below QAT's in 3 of 3 buckets" in html.replace("&#x27;", "'")


def test_buckets_have_their_numbers_of_nodes(monkeypatch):
    drawn = []
    monkeypatch.setattr("degreequant.report.by_degree.picture", lambda figure, alt: drawn.append(figure) or "")
    degree_section({"a": row("gcn", [0.2, 0.3, 0.4], [0.4, 0.5, 0.3])})
    labels = [[label.get_text() for label in panel.get_xticklabels()] for panel in drawn[0].axes]
    assert labels == [["1\nn=100", "2-3\nn=99", "4-7\nn=98"]] * 3


def test_seeds_are_averaged():
    one, other = over_seeds([row("gcn", [0.2, 0.4], [0.1, 0.1]), row("gin", [1.0], [1.0]), row("gcn", [0.4, 0.6], [0.3, 0.5])])
    assert (one.architecture, one.seeds, other.architecture, other.seeds) == ("GCN", 2, "GIN", 1)
    assert one.series("gradient INT4 QAT")[1] == pytest.approx([0.3, 0.5])
    assert [bucket["nodes"] for bucket in one.buckets] == [100, 99]
    assert one.measures == ["mean", "variance", "gradient INT4 QAT", "gradient INT4 Degree-Quant"]
