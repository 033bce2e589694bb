import pytest

from degreequant.errors import PictureError
from degreequant.pictures import check_picture, new_figure, write_picture


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_the_end_of_a_path_names_the_format(tmp_path, name, start):
    write_picture(new_figure(figsize=(1, 1)), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "message"), [("a.foo", "has to end in one of .*png"), ("a", "has to end in one of"), ("no/a.png", "there is no such folder")]
)
@pytest.mark.parametrize("call", [check_picture, lambda path: write_picture(new_figure(), path)])
def test_a_picture_that_cannot_be_written(tmp_path, name, message, call):
    with pytest.raises(PictureError, match=message):
        call(tmp_path / name)
    assert not list(tmp_path.iterdir())
