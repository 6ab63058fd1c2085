"""What backup and restore Jobs run: files that are read as text, and run elsewhere."""

from importlib.resources import files


def script(*names: str) -> str:
    """The text of some of them, one after the other: first what is a store's own, then what runs it."""
    return "\n".join((files(__name__) / name).read_text(encoding="utf-8") for name in names)
