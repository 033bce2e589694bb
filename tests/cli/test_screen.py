import json

import pytest

from degreequant.cli import screen


def test_lines_are_printed_as_they_are(capsys):
    line = "/data/[/bold]/[red]runs:book:/" + "x" * 300
    screen.say(line, style="dim")
    screen.warn(line)
    screen.OUT.print(line, soft_wrap=True)
    assert capsys.readouterr() == (f"{line}\n{line}\n", f"{line}\n")


def test_a_table_prints_its_cells_as_they_are(capsys):
    long = "edge_index_dict/author__writes__paper" * 5
    screen.show(screen.table("a [title]", {"name": "left", "bytes": "right"}, [["[/a]", "1,000"], ["[red]b", "2"], [long, "3"]]))
    out = capsys.readouterr().out
    for text in ("a [title]", "[/a]", "[red]b", "1,000", long):
        assert text in out


def test_json(capsys):
    value = {"b": [1, None, 0.5], "a": "ä"}
    screen.print_json(value)
    out, err = capsys.readouterr()
    assert json.loads(out) == value
    assert err == ""


def test_progress_goes_to_standard_error(capsys):
    with screen.progress_bars() as bars:
        bars.advance(bars.add_task("work", total=2))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("size", "text"), [(0, "0.0"), (999, "1.0"), (18_532, "18.5")])
def test_kilobytes(size, text):
    assert screen.kilobytes(size) == text
