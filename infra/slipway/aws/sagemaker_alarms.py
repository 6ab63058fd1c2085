"""CloudWatch alarms on what an endpoint's variants or components answer."""

from collections.abc import Mapping
from typing import Any

import pulumi

from slipway.aws.sdk import aws


def make_alarms(
    name: str,
    dimensions: Mapping[str, pulumi.Input[str]],
    told: Mapping[str, Any],
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> list[aws.cloudwatch.MetricAlarm]:
    """Make the alarms of one variant or component.

    Args:
        name: What their logical names begin with.
        dimensions: Of its metrics.
        told: `SageMakerAlarms`.
        tags: Of the alarms.
        parent: The component.
    """
    common: Any = {
        "comparison_operator": "GreaterThanThreshold",
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "treat_missing_data": "notBreaching",
        "alarm_actions": list(told.get("topic_arns", ())),
        "ok_actions": list(told.get("topic_arns", ())),
        "tags": tags,
    }
    made: list[aws.cloudwatch.MetricAlarm] = []
    if (percent := told.get("error_percent")) is not None:

        def count(key: str, metric: str) -> Any:
            asked = {"namespace": "AWS/SageMaker", "metric_name": metric, "dimensions": dimensions, "period": 60, "stat": "Sum"}
            return {"id": key, "metric": asked, "return_data": False}

        share: Any = {"id": "share", "expression": "100 * failed / asked", "label": "Failed, in percent", "return_data": True}
        made.append(
            aws.cloudwatch.MetricAlarm(
                f"{name}-errors",
                alarm_description=f"More than {percent:g} % of the invocations of {name} fail with 5xx",
                metric_queries=[count("failed", "Invocation5XXErrors"), count("asked", "Invocations"), share],
                threshold=percent,
                **common,
                opts=pulumi.ResourceOptions(parent=parent),
            )
        )
    if (latency := told.get("latency_p99_ms")) is not None:
        made.append(
            aws.cloudwatch.MetricAlarm(
                f"{name}-latency",
                alarm_description=f"The slowest hundredth of the answers of {name} takes longer than {latency:g} ms",
                namespace="AWS/SageMaker",
                metric_name="ModelLatency",
                dimensions=dimensions,
                extended_statistic="p99",
                period=60,
                # SageMaker tells microseconds.
                threshold=latency * 1000,
                **common,
                opts=pulumi.ResourceOptions(parent=parent),
            )
        )
    return made
