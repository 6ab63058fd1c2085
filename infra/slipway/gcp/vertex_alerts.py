"""Alerts of Cloud Monitoring for a Vertex AI endpoint, each for one deployed model, so that a bad canary is told apart."""

import warnings

import pulumi
import pulumi_gcp as gcp

from slipway.gcp.vertex_endpoint_args import VertexAlerts

with warnings.catch_warnings():
    # The SDK warns, once this module of it is loaded, of functions that nobody here calls.
    warnings.simplefilter("ignore", DeprecationWarning)
    _ = gcp.monitoring.AlertPolicy

_ONLINE = "aiplatform.googleapis.com/prediction/online"
_BY_MODEL = ["metric.label.deployed_model_id"]
ERROR_RATIO = 0.05
WINDOW_SECONDS = 300
FULL_SECONDS = 900
"""For how long every replica there may be must run before somebody is told."""


def alert_policies(
    name: str,
    alerts: VertexAlerts,
    endpoint_id: pulumi.Output[str],
    project: pulumi.Input[str] | None,
    replicas: tuple[int, int] | None,
    parent: pulumi.Resource,
) -> None:
    """Make them.

    Args:
        name: The endpoint's name.
        alerts: What is asked for, checked.
        endpoint_id: Id of the endpoint.
        project: Where they are made. Default: the provider's.
        replicas: Fewest and most replicas, where that is known.
        parent: The endpoint.
    """
    window = f"{alerts.get('window_seconds', WINDOW_SECONDS)}s"

    def told(metric: str) -> pulumi.Output[str]:
        kind = 'resource.type = "aiplatform.googleapis.com/Endpoint"'
        return pulumi.Output.concat(
            f'metric.type = "{_ONLINE}/{metric}" AND {kind} AND resource.labels.endpoint_id = "', endpoint_id, '"'
        )

    def policy(
        role: str,
        title: str,
        severity: str,
        condition: gcp.monitoring.AlertPolicyConditionConditionThresholdArgsDict,
    ) -> None:
        gcp.monitoring.AlertPolicy(
            f"{name}-alert-{role}",
            display_name=f"{name}: {title}",
            combiner="OR",
            severity=severity,
            conditions=[{"display_name": title, "condition_threshold": condition}],
            notification_channels=list(alerts["notification_channels"]),
            documentation={"content": f"Vertex AI endpoint {name}, by deployed model: {title}.", "mime_type": "text/markdown"},
            project=project,
            opts=pulumi.ResourceOptions(parent=parent),
        )

    ratio = alerts.get("error_ratio", ERROR_RATIO)
    summed: list[gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgsDict] = [
        {
            "alignment_period": "60s",
            "per_series_aligner": "ALIGN_RATE",
            "cross_series_reducer": "REDUCE_SUM",
            "group_by_fields": _BY_MODEL,
        }
    ]
    below: list[gcp.monitoring.AlertPolicyConditionConditionThresholdDenominatorAggregationArgsDict] = [
        {
            "alignment_period": "60s",
            "per_series_aligner": "ALIGN_RATE",
            "cross_series_reducer": "REDUCE_SUM",
            "group_by_fields": _BY_MODEL,
        }
    ]
    policy(
        "errors",
        f"more than {ratio:.1%} of the requests fail",
        "ERROR",
        {
            "filter": told("error_count"),
            "denominator_filter": told("prediction_count"),
            "aggregations": summed,
            "denominator_aggregations": below,
            "comparison": "COMPARISON_GT",
            "threshold_value": ratio,
            "duration": window,
        },
    )
    if (latency := alerts.get("latency_p95_ms")) is not None:
        policy(
            "latency",
            f"one answer in 20 takes more than {latency:g} ms",
            "WARNING",
            {
                "filter": told("prediction_latencies"),
                "aggregations": [
                    {
                        "alignment_period": "60s",
                        "per_series_aligner": "ALIGN_PERCENTILE_95",
                        "cross_series_reducer": "REDUCE_MAX",
                        "group_by_fields": _BY_MODEL,
                    }
                ],
                "comparison": "COMPARISON_GT",
                "threshold_value": latency,
                "duration": window,
            },
        )
    if replicas is not None and replicas[1] > replicas[0]:
        policy(
            "replicas",
            f"all {replicas[1]} replicas run, and no more can come",
            "WARNING",
            {
                "filter": told("replicas"),
                "aggregations": [
                    {
                        "alignment_period": "60s",
                        "per_series_aligner": "ALIGN_MIN",
                        "cross_series_reducer": "REDUCE_SUM",
                    }
                ],
                "comparison": "COMPARISON_GT",
                "threshold_value": replicas[1] - 0.5,
                "duration": f"{FULL_SECONDS}s",
            },
        )
