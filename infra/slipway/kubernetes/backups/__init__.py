"""What backup and restore Jobs run: files that are read as text, and run elsewhere."""

from importlib.resources import files


def script(name: str) -> str:
    """The text of one."""
    return (files(__name__) / name).read_text(encoding="utf-8")


def python_functions(name: str) -> str:
    """The shell's functions `dump FILE` and `restore FILE` of a store whose backups a program in Python makes and restores."""
    return f"""tool() {{
python3 - "$@" <<'PYTHON'
{script(name)}PYTHON
}}
dump() {{ tool backup "$1"; }}
restore() {{ tool restore "$1"; }}
"""
