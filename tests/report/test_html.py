import pytest

from degreequant.report.html import Html, element, join


def test_what_is_no_html_is_escaped():
    assert element("td", "<script>", element("b", "a & b")) == "<td>&lt;script&gt;<b>a &amp; b</b></td>"
    assert join("<", Html("<br>")) == "&lt;<br>"


@pytest.mark.parametrize(("value", "escaped"), [('"', "&quot;"), ("<", "&lt;"), ("&", "&amp;")])
def test_attributes_are_escaped(value, escaped):
    assert element("td", title=f"a{value}b") == f'<td title="a{escaped}b"></td>'


def test_elements_without_an_end():
    assert element("img", alt="") == '<img alt="">'
