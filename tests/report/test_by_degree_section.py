from degreequant.report.by_degree import degree_section


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
    assert "Cora GCN: Degree-Quant's error of the gradient is below QAT's in 1 of 3 buckets" in html.replace("&#x27;", "'")
    assert "Cora GAT: Degree-Quant's error of the gradient is below QAT's in 3 of 3 buckets" in html.replace("&#x27;", "'")
    assert "one seed, and every line is a training of its own" in html


def test_buckets_have_their_numbers_of_nodes(monkeypatch):
    drawn = []
    monkeypatch.setattr("degreequant.report.by_degree.picture", lambda figure, alt: drawn.append(figure) or "")
    degree_section({"a": row("gcn", [0.2, 0.3, 0.4], [0.4, 0.5, 0.3])})
    labels = [[label.get_text() for label in panel.get_xticklabels()] for panel in drawn[0].axes]
    assert labels == [["1\nn=100", "2-3\nn=99", "4-7\nn=98"]] * 3
