"""Which CloudWatch alarms an endpoint has: `SageMakerAlarms`, checked."""

from collections.abc import Mapping
from typing import Any

from slipway.args import Faults, known
from slipway.aws import sagemaker_rules as rules

PER_VARIANT = ("error_percent", "latency_p99_ms")


def check_alarms(given: Mapping[str, Any], faults: Faults) -> None:
    """Check which alarms there are, and whether they can do what they should."""
    alarms: Mapping[str, Any] = given.get("alarms", {})
    if "alarms" not in given or faults.at("alarms"):
        return
    if not any(kind in alarms for kind in PER_VARIANT):
        faults.add("alarms", "is no alarm; give 'error_percent', 'latency_p99_ms' or both")
    rules.bounded(alarms, "alarms", "error_percent", 0, 100, faults)
    if alarms.get("latency_p99_ms", 1) <= 0:
        faults.add("alarms.latency_p99_ms", f"is {alarms['latency_p99_ms']:g}; give milliseconds, above 0")
    topics = alarms.get("topic_arns", ())
    if len(topics) > 5:
        faults.add("alarms.topic_arns", f"has {len(topics)} entries; CloudWatch takes 5 actions for an alarm")
    for i, topic in enumerate(topics):

        def told(arn: str, i: int = i) -> None:
            if fault := rules.topic_fault(arn):
                faults.add(f"alarms.topic_arns[{i}]", fault)

        known(topic, told)
    if alarms.get("roll_back") and "components" in given:
        faults.add("alarms.roll_back", "does not go with 'components', which the endpoint's updates leave alone; leave it out")
    elif alarms.get("roll_back") and "endpoint_name" not in given:
        faults.add(
            "alarms.roll_back",
            "needs 'endpoint_name': the alarms must be there before the endpoint, and look at it by its name",
        )


def rolls_back(given: Mapping[str, Any]) -> bool:
    """Whether the component's own alarms send updates back."""
    alarms = given.get("alarms")
    return alarms is not None and "components" not in given and bool(alarms.get("roll_back", "endpoint_name" in given))
