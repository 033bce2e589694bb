"""Pictures: figures where matplotlib is installed, and files of them that are there whole or not at all."""

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degreequant.errors import MissingExtraError, PictureError
from degreequant.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> "Figure":
    """A figure of matplotlib's own, which no window shows; `options` are those of its class.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise MissingExtraError(f"pictures need {missing.name}; install it with: pip install 'degreequant[report]'") from None
    return Figure(**options)


def check_picture(path: str | PathLike[str]) -> str:
    """The format that the end of a path names, such as `png` or `svg`; to be called before what takes minutes to measure.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        PictureError: If the path names no format, or its folder is not there.
    """
    known, end = new_figure().canvas.get_supported_filetypes(), Path(path).suffix.removeprefix(".").lower()
    if end not in known:
        raise PictureError(f"{path}: a picture has to end in one of {', '.join(f'.{name}' for name in known)}")
    if not Path(path).absolute().parent.is_dir():
        raise PictureError(f"{path}: cannot be written (there is no such folder)")
    return end


def write_picture(figure: "Figure", path: str | PathLike[str]) -> None:
    """Writes a figure in the format that the end of the path names.

    Raises:
        PictureError: If it names none, or the file cannot be written.
    """
    image = BytesIO()
    figure.savefig(image, format=check_picture(path))
    write_atomically(path, image.getvalue(), PictureError)
