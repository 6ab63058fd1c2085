"""Endpoints side by side as a chart, in the format that the file's name tells."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.endpoint_bench import Result
from slipway_router.bench.report import times

try:
    import altair as alt

    # Without it altair writes no PNG, and HTML that needs a network.
    importlib.import_module("vl_convert")
except ImportError as error:
    raise ImportError("charts need altair and vl-convert-python; install them with: pip install 'slipway[charts]'") from error

_SHARES = (50, 95, 99)
_PANELS = {"time_to_first_token_ms": "time to first token, ms", "total_ms": "total time, ms"}


def write(results: Sequence[Result], title: str, file: Path) -> None:
    """Percentiles of both times, throughput and cost, each with a bar for each endpoint. The HTML needs no network.

    Args:
        results: What was measured.
        title: What was asked.
        file: Ends in .png, .html or .svg.
    """
    drawn: Any = chart(results, title)
    drawn.save(str(file), **({"inline": True} if file.suffix == ".html" else {"ppi": 144} if file.suffix == ".png" else {}))


def chart(results: Sequence[Result], title: str) -> alt.HConcatChart:
    """The chart itself."""
    told = [(r.endpoint.name, r.told()) for r in results]
    panels = [
        _panel([(name, f"p{s}", d[field][f"p{s}"]) for name, d in told if d[field] for s in _SHARES], label)
        for field, label in _PANELS.items()
        if any(times(r.whole)[field] for r in results)
    ]
    panels.append(_panel([(name, "all", d["output_tokens_per_second"]) for name, d in told], "output tokens/s"))
    costs = [
        (name, "all", d["usd_per_million_output_tokens"]) for name, d in told if d["usd_per_million_output_tokens"] is not None
    ]
    if costs:
        panels.append(_panel(costs, "USD per million output tokens"))
    return alt.hconcat(*panels, title=title)


def _panel(rows: Sequence[tuple[str, str, float]], label: str) -> alt.Chart:
    values = [{"endpoint": name, "of": of, "value": value} for name, of, value in rows]
    return (
        alt.Chart(alt.Data(values=values), title=label)
        .mark_bar(tooltip=True)
        .encode(
            x=alt.X("of:N", title=None, sort=None, axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("endpoint:N", sort=None),
            y=alt.Y("value:Q", title=None),
            color=alt.Color("endpoint:N", sort=None, title=None),
        )
        .properties(width=180, height=220)
    )
