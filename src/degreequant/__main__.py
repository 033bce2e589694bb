"""`python -m degreequant` and the `degreequant` command."""

import sys


def main() -> int:
    """Runs the command line; returns its exit status."""
    try:
        from degreequant.cli import app
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("typer", "rich", "click"):
            raise
        print(f"degreequant: the command line needs {error.name}; install it with: pip install 'degreequant[cli]'", file=sys.stderr)
        return 1
    return app.run()


if __name__ == "__main__":
    sys.exit(main())
