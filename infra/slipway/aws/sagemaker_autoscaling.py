"""Application Auto Scaling of a fleet or of a component's copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from slipway.aws.sagemaker_scaling import Scaling, Target
from slipway.aws.sdk import aws

SERVICE = "sagemaker"
_METRICS = {
    (False, Target.INVOCATIONS): "SageMakerVariantInvocationsPerInstance",
    (False, Target.CONCURRENCY): "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    (False, Target.UTILIZATION): "SageMakerVariantProvisionedConcurrencyUtilization",
    (True, Target.INVOCATIONS): "SageMakerInferenceComponentInvocationsPerCopy",
    (True, Target.CONCURRENCY): "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
}
"""Predefined metrics of Application Auto Scaling (its API Reference: PredefinedMetricSpecification), by whether they are of an
inference component."""


@dataclass(frozen=True)
class Subject:
    """What is scaled."""

    name: str
    """What the resources' logical names begin with."""
    endpoint: pulumi.Input[str]
    """Name of the endpoint."""
    variant: str | None = None
    """Name of the variant; None for a component."""
    component: pulumi.Input[str] | None = None
    """Name of the inference component."""
    serverless: bool = False
    """Whether the variant is, so that its provisioned concurrency is scaled."""

    @property
    def dimension(self) -> str:
        """What Application Auto Scaling changes."""
        if self.serverless:
            return "sagemaker:variant:DesiredProvisionedConcurrency"
        return "sagemaker:variant:DesiredInstanceCount" if self.variant else "sagemaker:inference-component:DesiredCopyCount"

    @property
    def resource_id(self) -> pulumi.Output[str]:
        """Its name there."""
        if self.variant:
            return pulumi.Output.concat("endpoint/", self.endpoint, f"/variant/{self.variant}")
        assert self.component is not None
        return pulumi.Output.concat("inference-component/", self.component)

    @property
    def metric_dimensions(self) -> dict[str, pulumi.Input[str]]:
        """Those of its CloudWatch metrics."""
        if self.variant:
            return {"EndpointName": self.endpoint, "VariantName": self.variant}
        assert self.component is not None
        return {"InferenceComponentName": self.component}


def scale(
    subject: Subject,
    scaling: Scaling,
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
    after: pulumi.Resource | None = None,
) -> aws.appautoscaling.Target:
    """Make target, policies, alarms and schedules.

    Args:
        subject: What is scaled.
        scaling: How.
        tags: Of every resource that takes some.
        parent: The component.
        after: What must be there first, where no name tells.
    """
    name = subject.name
    target = aws.appautoscaling.Target(
        f"{name}-scaling-target",
        service_namespace=SERVICE,
        scalable_dimension=subject.dimension,
        resource_id=subject.resource_id,
        min_capacity=scaling.min,
        max_capacity=scaling.max,
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[after] if after else None),
    )
    tracking: Any = {
        **_metric(subject, scaling),
        "target_value": scaling.value,
        "scale_out_cooldown": scaling.scale_out_cooldown_seconds,
        "scale_in_cooldown": scaling.scale_in_cooldown_seconds,
    }
    aws.appautoscaling.Policy(
        f"{name}-scaling-policy",
        policy_type="TargetTrackingScaling",
        service_namespace=SERVICE,
        scalable_dimension=subject.dimension,
        resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration=tracking,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    if scaling.steps:
        _burst(subject, scaling, target, tags, parent)
    if scaling.min == 0:
        _wake(subject, scaling, target, tags, parent)
    for schedule in scaling.schedules:
        bounds = {"min_capacity": schedule.min, "max_capacity": schedule.max}
        action: Any = {k: v for k, v in bounds.items() if v is not None}
        aws.appautoscaling.ScheduledAction(
            f"{name}-scaling-{schedule.name}",
            service_namespace=SERVICE,
            scalable_dimension=subject.dimension,
            resource_id=target.resource_id,
            schedule=schedule.when,
            timezone=schedule.timezone,
            scalable_target_action=action,
            opts=pulumi.ResourceOptions(parent=parent),
        )
    return target


def _metric(subject: Subject, scaling: Scaling) -> Any:
    if scaling.target is Target.BACKLOG:
        # As in "Autoscale an asynchronous endpoint" of SageMaker's guide. The metric has no variant.
        return {
            "customized_metric_specification": {
                "namespace": "AWS/SageMaker",
                "metric_name": "ApproximateBacklogSizePerInstance",
                "statistic": "Average",
                "dimensions": [{"name": "EndpointName", "value": subject.endpoint}],
            }
        }
    return {"predefined_metric_specification": {"predefined_metric_type": _METRICS[subject.variant is None, scaling.target]}}


def _burst(
    subject: Subject,
    scaling: Scaling,
    target: aws.appautoscaling.Target,
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> None:
    """Steps up where the load jumps. Bounds are relative to the alarm's threshold, which is the first step's."""
    first = scaling.steps[0].above
    uppers = [s.above - first for s in scaling.steps[1:]]
    adjustments: list[Any] = [
        {"metric_interval_lower_bound": f"{step.above - first:g}", "scaling_adjustment": step.add} for step in scaling.steps
    ]
    for adjustment, upper in zip(adjustments, uppers, strict=False):
        adjustment["metric_interval_upper_bound"] = f"{upper:g}"
    policy = _steps(f"{subject.name}-scaling-burst", subject, scaling, target, adjustments, parent)
    aws.cloudwatch.MetricAlarm(
        f"{subject.name}-scaling-burst-alarm",
        alarm_description=f"{subject.name} has more requests at once than its target; adds capacity",
        namespace="AWS/SageMaker",
        metric_name="ConcurrentRequestsPerModel" if subject.variant else "ConcurrentRequestsPerCopy",
        dimensions=subject.metric_dimensions,
        statistic="Maximum",
        period=10,
        evaluation_periods=2,
        threshold=first,
        comparison_operator="GreaterThanOrEqualToThreshold",
        treat_missing_data="notBreaching",
        alarm_actions=[policy.arn],
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _wake(
    subject: Subject,
    scaling: Scaling,
    target: aws.appautoscaling.Target,
    tags: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
) -> None:
    """From 0 to 1. Target tracking cannot: a metric per instance has no value there ("Scale an endpoint to zero instances")."""
    adjustments: list[Any] = [{"metric_interval_lower_bound": "0", "scaling_adjustment": 1}]
    policy = _steps(f"{subject.name}-scaling-wake", subject, scaling, target, adjustments, parent)
    dimensions: dict[str, pulumi.Input[str]] = (
        {"EndpointName": subject.endpoint} if subject.variant else subject.metric_dimensions
    )
    aws.cloudwatch.MetricAlarm(
        f"{subject.name}-scaling-wake-alarm",
        alarm_description=f"{subject.name} is asked and has no capacity; adds the first",
        namespace="AWS/SageMaker",
        metric_name="HasBacklogWithoutCapacity" if subject.variant else "NoCapacityInvocationFailures",
        dimensions=dimensions,
        statistic="Maximum",
        period=60,
        evaluation_periods=1,
        threshold=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        treat_missing_data="missing",
        alarm_actions=[policy.arn],
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _steps(
    name: str,
    subject: Subject,
    scaling: Scaling,
    target: aws.appautoscaling.Target,
    adjustments: list[Any],
    parent: pulumi.Resource,
) -> aws.appautoscaling.Policy:
    return aws.appautoscaling.Policy(
        name,
        policy_type="StepScaling",
        service_namespace=SERVICE,
        scalable_dimension=subject.dimension,
        resource_id=target.resource_id,
        step_scaling_policy_configuration={
            "adjustment_type": "ChangeInCapacity",
            "metric_aggregation_type": "Maximum",
            "cooldown": scaling.scale_out_cooldown_seconds,
            "step_adjustments": adjustments,
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
