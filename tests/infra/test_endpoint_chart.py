"""The chart of a comparison, as a picture, as a page and as a specification."""

import struct
from pathlib import Path
from typing import Any

import pytest
from tests.infra.test_endpoint_bench import GOOD, result

from slipway.endpoint_bench import Result, TokenPrice
from slipway.endpoint_chart import chart, write
from slipway_router.bench.asking import Outcome

RESULTS = [result(GOOD, GOOD, usd_per_hour=36.0), result(GOOD, tokens=TokenPrice(0.15, 0.60))]
RESULTS[1] = Result(RESULTS[1].endpoint.__class__("y", "http://y/v1", "m", tokens=TokenPrice(0.15, 0.60)), RESULTS[1].rounds)


def test_a_picture_and_a_page_that_needs_no_network(tmp_path: Path) -> None:
    for suffix in (".png", ".html", ".svg"):
        write(RESULTS, "2 requests", tmp_path / f"c{suffix}")
    png = (tmp_path / "c.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width > 1000 > height > 300
    page = (tmp_path / "c.html").read_text()
    assert "2 requests" in page
    assert '<script src="http' not in page
    assert "</svg>" in (tmp_path / "c.svg").read_text()


def test_what_it_shows_is_what_was_measured() -> None:
    drawn: dict[str, Any] = chart(RESULTS, "t").to_dict()
    panels = {p["title"]: [(v["endpoint"], v["of"], v["value"]) for v in p["data"]["values"]] for p in drawn["hconcat"]}
    assert panels["total time, ms"][0] == ("x", "p50", 1000.0)
    assert panels["time to first token, ms"][:3] == [("x", "p50", 500.0), ("x", "p95", 500.0), ("x", "p99", 500.0)]
    assert panels["output tokens/s"] == [("x", "all", 10.0), ("y", "all", 5.0)]
    assert panels["USD per million output tokens"] == [("x", "all", 1000.0), ("y", "all", 1.2)]


@pytest.mark.parametrize("results", [[result(GOOD), result(GOOD)], [result(Outcome(1.0, cause="timeout"))]])
def test_what_is_not_known_is_left_out(results: list[Result]) -> None:
    titles = [p["title"] for p in chart(results, "t").to_dict()["hconcat"]]
    assert "USD per million output tokens" not in titles
    assert "output tokens/s" in titles
