"""HTML as text: elements whose content is escaped unless it is HTML already."""

from html import escape

VOID = {"meta", "img"}
"""Elements that have no content, and no end."""


class Html(str):
    """Text that is HTML: it is put into elements as it is."""


def element(tag: str, *content: str, **attributes: str | None) -> Html:
    """An element; a trailing underscore of an attribute's name is dropped, and an attribute of None is left out.

    >>> element("p", "a < b ", element("b", "c"), class_="note", title=None)
    '<p class="note">a &lt; b <b>c</b></p>'
    """
    given = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items() if value is not None)
    return Html(f"<{tag}{given}>" if tag in VOID else f"<{tag}{given}>{join(*content)}</{tag}>")


def join(*content: str) -> Html:
    """Pieces one after the other, those that are no HTML escaped."""
    return Html("".join(piece if isinstance(piece, Html) else escape(piece) for piece in content))


def paragraph(text: str) -> Html:
    """Text in one paragraph of the class `about`; what stands between backticks is code.

    >>> paragraph("Run `make`.")
    '<p class="about">Run <code>make</code>.</p>'
    """
    pieces = " ".join(text.split()).split("`")
    return element("p", *(element("code", piece) if number % 2 else piece for number, piece in enumerate(pieces)), class_="about")
