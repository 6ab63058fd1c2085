"""What a load generator measured: counts, rates, percentiles and causes of failures."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from slipway_router.bench.load import Measured
from slipway_router.bench.percentile import percentile
from slipway_router.commands.table import table

SHARES = (0.5, 0.9, 0.95, 0.99)
BUSY = 0.8
"""Share of its time from which a load generator is too busy to be believed."""
TIMES = {
    "time_to_first_token_ms": "time to first token, ms",
    "time_per_output_token_ms": "time per output token, ms",
    "total_ms": "total time, ms",
}
"""What is told in percentiles, with its label."""


def times(measured: Measured) -> dict[str, list[float]]:
    """The times of the requests that succeeded, in milliseconds."""
    good = [o for o in measured.outcomes if o.cause is None]
    return {
        "time_to_first_token_ms": [o.first_token * 1e3 for o in good if o.first_token is not None],
        "time_per_output_token_ms": [o.per_token * 1e3 for o in good if o.per_token is not None],
        "total_ms": [o.total * 1e3 for o in good],
    }


def summary(measured: Measured, **factors: Any) -> dict[str, Any]:
    """Counts, rates, and percentiles of the requests that succeeded.

    Args:
        measured: What came of the load.
        factors: What the load was; told first.
    """
    good = [o for o in measured.outcomes if o.cause is None]
    bad = [o for o in measured.outcomes if o.cause is not None]
    examples = {o.cause: o.detail for o in reversed(bad)}
    causes = Counter(o.cause for o in bad).most_common()
    tokens = sum(o.tokens for o in good)
    seconds = measured.seconds or math.inf  # of a run that was stopped before it began
    return {
        **factors,
        "seconds": round(measured.seconds, 3),
        "requests": len(measured.outcomes),
        "failures": len(bad),
        "given_up": measured.given_up,
        "requests_per_second": round(len(good) / seconds, 3),
        "output_tokens": tokens,
        "output_tokens_per_second": round(tokens / seconds, 3),
        **{n: {f"p{s * 100:g}": round(percentile(v, s), 3) for s in SHARES} if v else None for n, v in times(measured).items()},
        "causes": [{"cause": cause, "count": count, "example": examples[cause]} for cause, count in causes],
        "generator_cpu_share": round(measured.generator_share, 3),
    }


def shown(told: Mapping[str, Any]) -> str:
    """A summary, to be read."""
    cut = f", {told['given_up']} given up" if told["given_up"] else ""
    text = (
        f"{told['requests']:,} requests in {told['seconds']:.1f} s, {told['failures']:,} failures{cut}\n"
        f"{told['requests_per_second']:,.1f} requests/s, {told['output_tokens_per_second']:,.1f} output tokens/s\n\n"
    )
    rows = [
        [label, *(f"{v:,.2f}" for v in told[name].values())] if told[name] else [label, *("-" for _ in SHARES)]
        for name, label in TIMES.items()
    ]
    text += table(("", *(f"p{s * 100:g}" for s in SHARES)), rows, right=range(1, len(SHARES) + 1), indent=2)
    if told["causes"]:
        causes = [[f"{c['count']:,}", c["cause"], c["example"]] for c in told["causes"]]
        text += "\nfailures:\n\n" + table(("count", "cause", "such as"), causes, right=(0,), indent=2)
    if told["generator_cpu_share"] >= BUSY and told["failures"] < told["requests"]:
        share = f"{told['generator_cpu_share']:.0%}"
        text += (
            f"\nThe load generator itself computed for {share} of the time: these figures tell more of it than of the server.\n"
        )
    return text
