"""What backup and restore jobs run: files that are read as text, and run elsewhere."""

from importlib.resources import files


def script(name: str) -> str:
    """The text of one of them, by its file name."""
    return (files(__name__) / name).read_text(encoding="utf-8")
