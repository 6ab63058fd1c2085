"""Plain tables."""

from slipway_router.commands.table import table


def test_columns_are_as_wide_as_they_need_be_and_numbers_to_the_right() -> None:
    shown = table(("name", "ms"), [("a", "1,000"), ("longer", "7")], right=(1,))
    assert shown.splitlines() == ["name       ms", "a       1,000", "longer      7"]


def test_it_can_be_indented_and_leaves_no_spaces_behind() -> None:
    assert table(("", "b"), [("1", ""), ("2", "x")], indent=2) == "     b\n  1\n  2  x\n"


def test_a_table_can_have_no_rows() -> None:
    assert table(("a", "b"), []) == "a  b\n"
