"""What `slipway bench-endpoint` measured, as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from slipway.endpoint_bench import Result
from slipway_router.bench.report import BUSY

_TIMES = (("time to first token, ms", "time_to_first_token_ms"), ("total time, ms", "total_ms"))


def show(results: Sequence[Result], title: str) -> None:
    """Print what was measured, an endpoint a column, with their ratio where there are two."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    told = [r.told() for r in results]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for result in results:
        table.add_column(result.endpoint.name, justify="right")
    if len(results) == 2:
        table.add_column("ratio", justify="right")

    def row(label: str, values: Sequence[float | None], form: str) -> None:
        cells = ["unknown" if v is None else f"{v:{form}}" for v in values]
        if len(values) == 2:
            first, second = values
            cells.append(f"{second / first:.2f}" if first and second is not None else "")
        table.add_row(label, *cells)

    row("requests answered", [d["requests"] - d["failures"] for d in told], ",.0f")
    row("failures", [d["failures"] for d in told], ",.0f")
    for label, field in _TIMES:
        for share in ("p50", "p95", "p99"):
            row(f"{label}, {share}", [d[field] and d[field][share] for d in told], ",.1f")
    row("requests/s", [d["requests_per_second"] for d in told], ",.2f")
    row("output tokens/s", [d["output_tokens_per_second"] for d in told], ",.1f")
    row("USD an hour", [r.endpoint.usd_per_hour for r in results], ",.2f")
    row("USD per 1,000 requests", [d["usd_per_1000_requests"] for d in told], ",.4f")
    row("USD per million output tokens", [d["usd_per_million_output_tokens"] for d in told], ",.2f")
    console.print(title)
    console.print()
    console.print(table)
    console.print()
    for result, d in zip(results, told, strict=True):
        spread = ", ".join(f"{v:,.1f}" for v in result.median_ms_by_round)
        priced = f"; price: {result.endpoint.price_source}" if result.endpoint.price_source else ""
        console.print(f"{result.endpoint.name}: median of each round {spread or '-'} ms{priced}", soft_wrap=True)
        for cause in d["causes"]:
            console.print(f"  {cause['count']:,} failed: {cause['cause']}, such as: {cause['example']}", soft_wrap=True)
        if d["generator_cpu_share"] >= BUSY:
            share = d["generator_cpu_share"]
            console.print(
                f"  The generator itself computed {share:.0%} of the time: these figures tell more of it.", soft_wrap=True
            )
    console.print("An hour's price costs a request as much as this load left of the hour: with less load more, with more less.")
