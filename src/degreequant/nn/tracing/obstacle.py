"""What a trace could not follow, in a user's words: torch.fx and Python say it in theirs."""

from pathlib import Path

from torch import fx

_BRANCH = "it branches on a value that it computes (if, while, and, assert), and a trace has no values"
_LOOP = (
    "it loops over something whose length is not known while tracing; where that is a dictionary or a list that the model is called with, "
    "or lies in a HeteroData, give prepare one in example_inputs"
)
_NUMBER = "it needs a number, a size or an array of Python's or numpy's of a value that it computes, and a trace has no values"


def obstacle(error: Exception) -> str:
    """Why a forward cannot be traced, of the exception that ended it."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, ImportError):
        return f"it needs another package ({text})"
    if isinstance(error, fx.proxy.TraceError):
        return _LOOP if "iterated" in text else _BRANCH
    if isinstance(error, TypeError) and any(word in text for word in ("Symbol", "Count", "Proxy", "positional argument")):
        return _NUMBER
    return f"it raises {type(error).__name__}{f': {text}' if text else ''}"


def location(error: BaseException, libraries: tuple[str, ...]) -> str:
    """The innermost line of the traceback outside these folders."""
    traceback, place = error.__traceback__, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(libraries):
            place = f" (in {code.co_name}, {Path(code.co_filename).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place
