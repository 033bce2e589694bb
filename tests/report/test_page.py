"""Pages of made-up rows, and of the rows that this project publishes."""

import re
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path

import pytest

from degreequant.errors import ExperimentError
from degreequant.experiments.record import append, read_all
from degreequant.experiments.table import NAMES, table
from degreequant.report.page import page, write_report
from degreequant.report.search import differences

RESULTS = Path(__file__).parents[2] / "results"
VOID = {"meta", "img"}


class Balance(HTMLParser):
    """Fails on an element that is not closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def cell(name, of="main"):
    return next(cell for cell in table(of).cells if cell.name == name)


def rows_of(name, test, seeds=None, of="main", **more):
    """Rows of the first candidate of a cell, all of the same figures."""
    wanted = cell(name, of)
    metric = wanted.metric
    return {
        run.key: {
            "key": run.key,
            "method": run.method,
            "finished": "2026-01-02T03:04:05+00:00",
            "commit": "abc",
            "processor": "A processor",
            "device": "cpu",
            f"test_{metric}": test,
            f"val_{metric}": test,
            **more,
        }
        for run in wanted.runs(wanted.candidates[0], seeds or wanted.seeds)
    }


def line(html, method, arch="GCN"):
    """What stands in the main table's line, tags taken away."""
    main = html[html.index('id="table-main"') :]
    block = main[main.index(f">{method}<") :]
    row = block[block.index(f"<th>{arch}</th>") :].split("</tr>")[0]
    return [re.sub(r"<[^>]+>", " ", part) for part in row.split("<td")[1:]]


def test_a_finished_cell_stands_beside_the_published_figure():
    html = page(rows_of("cora/gcn/degree-quant-int4", 0.805))
    (cora, *others) = line(html, "Degree-Quant W4A4")
    assert "80.5 ± 0.0" in cora
    assert "+2.2" in cora
    assert "78.3 ± 1.7*" in cora
    assert "better" in cora
    assert all(text.count("±") == 1 for text in others), "the published figure alone"


def test_an_unfinished_cell_is_grey_with_its_number_of_runs():
    html = page(rows_of("cora/gcn/degree-quant-int4", 0.805, seeds=3))
    cora = line(html, "Degree-Quant W4A4")[0]
    assert "80.5 ± 0.0" in cora
    assert "3/100" in cora
    assert "78.3 ± 1.7*" in cora
    assert 'class="unfinished"' in cora
    assert "+2.2" not in cora


def claims(html):
    return html[html.index('id="claims"') : html.index('id="table-main"')]


def test_claims_hold_fail_or_are_open():
    rows = rows_of("cora/gcn/fp32", 0.82) | rows_of("cora/gcn/degree-quant-int8", 0.70) | rows_of("cora/gcn/degree-quant-int4", 0.80)
    text = claims(page(rows))
    assert (text.count("✓"), text.count("✗")) == (1, 1)
    assert "INT8 is within the spread of float, or better: 0 cells hold, 1 fails, 15 are open." in text
    assert "INT4 is at least the published figure: 1 cell holds, 0 fail, 15 are open." in text


def test_runs_that_differ_are_no_excuse():
    """INT8 is beyond float's spread, and within its own, which does not count."""
    rows = rows_of("cora/gcn/fp32", 0.82) | rows_of("cora/gcn/degree-quant-int8", 0.82)
    for row, test in zip([row for row in rows.values() if row["method"] == "degree-quant-int8"], cycle((0.70, 0.90)), strict=False):
        row["test_accuracy"] = test
    assert "INT8 is within the spread of float, or better: 0 cells hold, 1 fails, 15 are open." in claims(page(rows))


def test_an_open_claim_says_what_it_is_so_far():
    rows = (
        rows_of("cora/gcn/fp32", 0.82, seeds=10)
        | rows_of("cora/gcn/degree-quant-int8", 0.70)
        | rows_of("cora/gat/degree-quant-int4", 0.8, 3)
    )
    text = claims(page(rows))
    assert "0 cells hold, 0 fail, 16 are open (so far 0 cells hold, 1 fails)." in text
    assert "0 cells hold, 0 fail, 16 are open (so far 1 cell holds, 0 fail)." in text
    assert "<td>82.0 ± 0.0 10/100</td>" in text
    assert text.count('<td class="open">so far fails</td>') == text.count('<td class="open">so far holds</td>') == 1


def test_parts_of_the_test_data_are_reported_apart():
    html = page(rows_of("cifar10/gcn/fp32", 0.55, test_parts={"lossless": 0.56, "jpeg": 0.549}))
    assert "lossless 56.0 ± 0.0, jpeg 54.9 ± 0.0" in line(html, "FP32")[-1]


def searched(validation):
    """The line of a search in which candidate k has these figures on validation."""
    wanted = cell("cora/gcn/qat-int4")
    rows = {}
    for number, candidate in enumerate(wanted.candidates):
        for run, value in zip(wanted.runs(candidate, 3), validation(number), strict=True):
            rows[run.key] = {"key": run.key, "test_accuracy": 0.5, "val_accuracy": value, "finished": "", "method": "qat-int4"}
    html = page(rows)
    return html[html.index('id="search"') :]


def test_the_search_shows_every_candidate():
    search = searched(lambda number: [0.7 + number / 100] * 3)
    assert "<b>minmax plain: 77.0 ± 0.0</b>; minmax clipped: 76.0" in search
    assert "percentile momentum=0.01 plain: 73.0" in search
    assert "(a tie" not in search


def test_no_two_candidates_are_called_the_same():
    for name in NAMES:
        for searched_cell in table(name).cells:
            names = [differences(candidate, searched_cell.candidates) for candidate in searched_cell.candidates]
            assert len(set(names)) == len(names), searched_cell.name


@pytest.mark.parametrize(("spread", "text"), [(0.01, "(a tie of the first 2)"), (0.5, "(a tie of all)")])
def test_a_choice_within_the_spread_is_a_tie(spread, text):
    assert text in searched(lambda number: [0.7 + number / 100 + sign * spread for sign in (-1, 0, 1)])


def test_curves_are_drawn_where_they_were_recorded():
    assert 'id="training"' not in page(rows_of("cora/gcn/fp32", 0.8))
    html = page(rows_of("cora/gcn/fp32", 0.8, curve=[[1, 1.9], [2, 1.5]]))
    assert "data:image/svg+xml;base64," in html[html.index('id="training"') :]


def test_every_published_row_makes_a_page(tmp_path):
    """It needs nothing from anywhere else, and is well formed."""
    output = tmp_path / "report.html"
    assert write_report(RESULTS, output) == len(read_all(RESULTS))
    html = output.read_text()
    balance = Balance()
    balance.feed(html)
    assert balance.open == []
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert {"by-degree", "by-size", "claims"} <= set(re.findall(r'id="([^"]+)"', html))


def test_no_rows(tmp_path):
    with pytest.raises(ExperimentError, match="no result rows; expected a folder with"):
        write_report(tmp_path, tmp_path / "report.html")
    append(tmp_path / "rows.jsonl", {"step_ms": 3})
    with pytest.raises(ExperimentError, match="no result rows"):
        write_report(tmp_path, tmp_path / "report.html")
