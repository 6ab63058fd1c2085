"""How an update of an endpoint goes: `SageMakerDeployment`, checked, with its defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.args import Faults
from slipway.aws.sagemaker_args import SageMakerStrategy
from slipway.aws.sagemaker_rules import STREAM_LIMIT_SECONDS, bounded

if TYPE_CHECKING:
    import pulumi_aws as aws

ALARM_LIMIT = 10
"""Most alarms of a deployment (SageMaker API Reference: AutoRollbackConfig)."""
_STEPS = {SageMakerStrategy.CANARY: (1, 50), SageMakerStrategy.LINEAR: (10, 50), SageMakerStrategy.ROLLING: (5, 50)}
"""Bounds of a step in percent (SageMaker API Reference: TrafficRoutingConfig, RollingUpdatePolicy)."""


@dataclass(frozen=True)
class Deployment:
    """`SageMakerDeployment`, checked, with its defaults."""

    strategy: SageMakerStrategy = SageMakerStrategy.ALL_AT_ONCE
    step_percent: int = 0
    wait_seconds: int = 0
    termination_wait: int = STREAM_LIMIT_SECONDS
    max_seconds: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], termination_wait: int) -> "Deployment":
        """From arguments that were checked."""
        strategy = given.get("strategy", SageMakerStrategy.ALL_AT_ONCE)
        at_once, rolling = strategy is SageMakerStrategy.ALL_AT_ONCE, strategy is SageMakerStrategy.ROLLING
        return cls(
            strategy,
            given.get("step_percent", 0 if at_once else 50 if rolling else 10),
            given.get("wait_seconds", 0 if at_once else 300),
            termination_wait,
            given.get("max_seconds"),
        )

    @property
    def waits(self) -> int:
        """Seconds that an update waits, in all its steps."""
        steps = {SageMakerStrategy.ALL_AT_ONCE: 1, SageMakerStrategy.CANARY: 1}.get(self.strategy)
        between = self.wait_seconds * (steps if steps is not None else -(-100 // self.step_percent))
        return between + (0 if self.strategy is SageMakerStrategy.ROLLING else self.termination_wait)

    def config(self, alarms: Sequence[pulumi.Input[str]]) -> "aws.sagemaker.EndpointDeploymentConfigArgsDict":
        """What the endpoint is told.

        Args:
            alarms: Names of those that send an update back.
        """
        made: aws.sagemaker.EndpointDeploymentConfigArgsDict = {}
        size: Any = {"type": "CAPACITY_PERCENT", "value": self.step_percent}
        if self.strategy is SageMakerStrategy.ROLLING:
            made["rolling_update_policy"] = {"maximum_batch_size": size, "wait_interval_in_seconds": self.wait_seconds}
            if self.max_seconds is not None:
                made["rolling_update_policy"]["maximum_execution_timeout_in_seconds"] = self.max_seconds
        else:
            routing: Any = {"type": self.strategy.value.upper(), "wait_interval_in_seconds": self.wait_seconds}
            if self.strategy is SageMakerStrategy.CANARY:
                routing["canary_size"] = size
            if self.strategy is SageMakerStrategy.LINEAR:
                routing["linear_step_size"] = size
            made["blue_green_update_policy"] = {
                "traffic_routing_configuration": routing,
                "termination_wait_in_seconds": self.termination_wait,
            }
            if self.max_seconds is not None:
                made["blue_green_update_policy"]["maximum_execution_timeout_in_seconds"] = self.max_seconds
        if alarms:
            watched: Any = {"alarms": [{"alarm_name": name} for name in alarms]}
            made["auto_rollback_configuration"] = watched
        return made


def check_deployment(given: Mapping[str, Any], own_alarms: int, faults: Faults) -> None:
    """Check how updates go.

    Args:
        given: All arguments.
        own_alarms: How many of the component's own alarms send an update back.
        faults: Where to tell what is wrong.
    """
    bounded(given, "", "termination_wait_seconds", 0, 3600, faults)
    deployment: Mapping[str, Any] = given.get("deployment", {})
    if faults.at("deployment") or faults.at("termination_wait_seconds"):
        return
    strategy = deployment.get("strategy", SageMakerStrategy.ALL_AT_ONCE)
    if strategy in _STEPS:
        low, high = _STEPS[strategy]
        bounded(deployment, "deployment", "step_percent", low, high, faults, f"the bounds of '{strategy}'")
    elif "step_percent" in deployment:
        faults.add("deployment.step_percent", "does not go with 'all_at_once'; give a 'strategy' that has steps, or leave it out")
    bounded(deployment, "deployment", "wait_seconds", 0, 3600, faults)
    bounded(deployment, "deployment", "max_seconds", 600, 28800, faults)
    alarms = len(deployment.get("alarm_names", ())) + own_alarms
    if alarms > ALARM_LIMIT:
        faults.add("deployment.alarm_names", f"come to {alarms} with those of 'alarms'; SageMaker takes {ALARM_LIMIT}")
    if strategy is SageMakerStrategy.ROLLING:
        # "Deployment guardrails: exclusions" of SageMaker's guide.
        if "variants" in given or "shadow" in given:
            faults.add("deployment.strategy", "is 'rolling', which several variants exclude; give 'canary' or 'linear'")
        if "serverless" in given:
            faults.add("deployment.strategy", "is 'rolling', which 'serverless' excludes; give 'canary' or 'linear'")
        if "termination_wait_seconds" in given:
            faults.add(
                "termination_wait_seconds", "does not go with the strategy 'rolling', which keeps no old fleet; leave it out"
            )
    if not faults.at("deployment"):
        made = Deployment.of(deployment, given.get("termination_wait_seconds", STREAM_LIMIT_SECONDS))
        if made.max_seconds is not None and made.max_seconds <= made.waits:
            faults.add("deployment.max_seconds", f"is {made.max_seconds}, and the waits alone take {made.waits}; give more")
