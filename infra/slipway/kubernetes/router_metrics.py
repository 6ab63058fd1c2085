"""Questions to Prometheus about the replicas of one router."""

import pulumi

WINDOW = "2m"
"""Long enough for two samples at Prometheus' default interval of a minute, without which there is no rate."""
_GENERATED_NAME = 58
"""Longest name that Kubernetes puts its five random characters behind (API conventions, `generateName`)."""


def requests_per_second(namespace: pulumi.Input[str], deployment: str) -> pulumi.Output[str]:
    """PromQL for the answered requests per second of all pods of a Deployment: 0 before the first request, and no series where
    nobody measures."""
    which = [f'",pod=~"{pods(deployment)}"}}']
    return pulumi.Output.concat(
        'sum(rate(slipway_router_requests_total{namespace="',
        namespace,
        *which,
        f'[{WINDOW}])) or 0 * sum(slipway_router_backend_available{{namespace="',
        namespace,
        *which,
        ")",
    )


def cpu_cores(namespace: pulumi.Input[str], deployment: str) -> pulumi.Output[str]:
    """PromQL for the CPU time that all pods of a Deployment take, in cores, as the routers tell it of themselves. Containers
    beside them in the pod, as of a service mesh, are not in it, and are in what an autoscaler goes by."""
    which = f'",pod=~"{pods(deployment)}"}}[{WINDOW}]))'
    return pulumi.Output.concat('sum(rate(process_cpu_seconds_total{namespace="', namespace, which)


def pods(deployment: str) -> str:
    """A pattern that the names of a Deployment's pods match, and those of a Deployment whose name only begins alike do not."""
    return f"{f'{deployment}-'[:_GENERATED_NAME]}[a-z0-9]+(-[a-z0-9]{{5}})?"
