"""Tables as plain text: the router's image has nothing that draws them."""

from collections.abc import Collection, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: int = 0) -> str:
    """Columns as wide as they need be, two spaces between, a line each.

    Args:
        head: Names of the columns.
        rows: As many cells each.
        right: Indexes of the columns that are set to the right, as numbers are.
        indent: Spaces before each line.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        set_out = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return " " * indent + "  ".join(set_out).rstrip()

    return "".join(f"{line(cells)}\n" for cells in (head, *rows))
