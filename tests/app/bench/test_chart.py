"""The chart, as XML."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from slipway_router.bench.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    POINTS,
    RIGHT,
    TOP,
    WIDTH,
    chart,
    chart_fault,
    top_of,
    write_chart,
)

SVG = "{http://www.w3.org/2000/svg}"


def curves(text: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(text).iter(f"{SVG}polyline")
    return [[(float(x), float(y)) for x, y in (p.split(",") for p in line.attrib["points"].split())] for line in lines]


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.01, 2), (2.1, 2.5), (26, 50), (99, 100), (100, 100), (7321, 10000)]
)
def test_an_axis_ends_with_a_round_number(most: float, top: float) -> None:
    assert top_of(most) == pytest.approx(top)


def test_a_curve_goes_through_the_percentiles() -> None:
    (curve,) = curves(chart("t", {"ms": [100.0, 25.0, 75.0, 50.0]}))
    high = HEIGHT - TOP - BOTTOM
    inner = WIDTH - LEFT - RIGHT
    assert [x for x, _ in curve] == pytest.approx([LEFT + inner * i / 4 for i in (1, 2, 3, 4)], abs=0.06)
    assert [y for _, y in curve] == pytest.approx([TOP + high * (1 - i / 4) for i in (1, 2, 3, 4)], abs=0.06)


def test_there_is_a_panel_for_each_label_and_its_axis() -> None:
    root = ElementTree.fromstring(chart("a < b", {"first, ms": [3.0], "second, ms": []}))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert texts[0] == "a < b"
    assert {"first, ms", "second, ms", "no values", "share of requests", "1", "5", "p50 3, p99 3", "0 %", "100 %"} <= set(texts)
    assert root.attrib["width"] == str(2 * WIDTH)


def test_many_values_are_no_more_points_than_can_be_seen() -> None:
    (curve,) = curves(chart("t", {"ms": [float(i) for i in range(100_000)]}))
    assert len(curve) == POINTS


def test_it_is_written_as_what_the_name_ends_in(tmp_path: Path) -> None:
    drawn = chart("a & b", {"ms": [1.0, 2.0]})
    for name in ("a.svg", "a.html", "a.png"):
        assert chart_fault(tmp_path / name) is None
        write_chart(tmp_path / name, drawn)
    assert (tmp_path / "a.svg").read_text() == drawn
    page = (tmp_path / "a.html").read_text()
    assert "<title>a &amp; b</title>" in page
    assert drawn in page
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(picture[16:20], "big") == 2 * WIDTH


def test_what_cannot_be_written_is_told_with_the_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "give one of .svg, .html, .png" in str(chart_fault(tmp_path / "a.pdf"))
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert "install it with: pip install 'slipway[charts]', or give .svg or .html" in str(chart_fault(tmp_path / "a.png"))
