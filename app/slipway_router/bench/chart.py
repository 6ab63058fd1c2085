"""Percentiles of a load's times as a picture: beside each other, each over the share of requests that were no slower."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from slipway_router.bench.percentile import percentile

WIDTH, HEIGHT = 320, 240
"""Of one panel, with its margins."""
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 40, 40
POINTS = 200
"""Most points of a curve: more cannot be told apart."""
TICKS = 5
_STYLE = (
    "text{font:11px sans-serif;fill:#333}.t{font-weight:bold;font-size:12px}.g{stroke:#ddd}"
    ".c{fill:none;stroke:#1f6fb4;stroke-width:2}"
)


def chart(title: str, panels: Mapping[str, Sequence[float]]) -> str:
    """The whole file.

    Args:
        title: What was measured.
        panels: For each label, the values.
    """
    drawn = "".join(_panel(i * WIDTH, label, values) for i, (label, values) in enumerate(panels.items()))
    width, height = WIDTH * len(panels), HEIGHT + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f'<rect width="{width}" height="{height}" fill="#fff"/><text class="t" x="12" y="18">{escape(title)}</text>'
        f'<g transform="translate(0 24)">{drawn}</g></svg>\n'
    )


SUFFIXES = (".svg", ".html", ".png")


def chart_fault(path: Path) -> str | None:
    """Why no chart can be written there: it would be found out after a long run."""
    if path.suffix not in SUFFIXES:
        return f"{path} has an ending that is no chart's; give one of {', '.join(SUFFIXES)}"
    if path.suffix == ".png":
        try:
            import vl_convert  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError:
            return f"{path} needs vl-convert-python; install it with: pip install 'slipway[charts]', or give .svg or .html"
    try:
        path.open("ab").close()
    except OSError as error:
        return f"{path} cannot be written: {(error.strerror or str(error)).lower()}"
    return None


def write_chart(path: Path, drawn: str) -> None:
    """Write a chart as what its file's name ends in: SVG, a page with it, or a picture of twice its size."""
    if path.suffix == ".png":
        from vl_convert import svg_to_png

        path.write_bytes(svg_to_png(drawn, scale=2))
        return
    title = drawn.partition("<title>")[2].partition("</title>")[0]
    page = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n<body>{drawn}</body></html>\n'
    path.write_text(page if path.suffix == ".html" else drawn, "utf-8")


def top_of(most: float) -> float:
    """A round number that no value exceeds: 1, 2, 2.5 or 5 times a power of ten."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= most)


def _panel(x: float, label: str, values: Sequence[float]) -> str:
    inner, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [f'<g transform="translate({x:g} 0)"><text class="t" x="{LEFT}" y="24">{escape(label)}</text>']
    if not values:
        return "".join([*parts, f'<text x="{LEFT}" y="{TOP + high / 2:g}">no values</text></g>'])
    top = top_of(max(values))
    # A rising curve leaves this corner free.
    told = ", ".join(f"p{share * 100:g} {_short(percentile(values, share))}" for share in (0.5, 0.99))
    parts.append(f'<text x="{LEFT + 6}" y="{TOP + 14}">{told}</text>')
    for i in range(TICKS + 1):
        y, right = TOP + high - high * i / TICKS, LEFT + inner * i / TICKS
        parts.append(f'<line class="g" x1="{LEFT}" x2="{LEFT + inner}" y1="{y:g}" y2="{y:g}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">{top * i / TICKS:,g}</text>')
        parts.append(f'<text x="{right:g}" y="{TOP + high + 16}" text-anchor="middle">{100 * i // TICKS} %</text>')
    parts.append(f'<text x="{LEFT + inner / 2:g}" y="{TOP + high + 32}" text-anchor="middle">share of requests</text>')
    count = min(len(values), POINTS)
    ordered = sorted(values)
    shares = [(i + 1) / count for i in range(count)]
    points = " ".join(f"{LEFT + inner * s:.1f},{TOP + high * (1 - percentile(ordered, s) / top):.1f}" for s in shares)
    return "".join([*parts, f'<polyline class="c" points="{points}"/></g>'])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
