"""What an upgrade would lose, as far as two plans tell. What a provider itself replaces is not proven here."""

from collections.abc import Callable

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from slipway.plan import Plan, plan_program
from slipway.plan.upgrade import losses


def volume(name: str = "data", size: str = "standard", alias: str | None = None, claim: str = "data") -> None:
    k8s.core.v1.PersistentVolumeClaim(
        name,
        metadata={"name": claim, "namespace": "ai"},
        spec={"storage_class_name": size, "access_modes": ["ReadWriteOnce"]},
        opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name=alias)] if alias else None),
    )


def told(before: Callable[[], object], after: Callable[[], object]) -> list[str]:
    plans: list[Plan] = [plan_program(before), plan_program(after)]
    return [loss.reason for loss in losses(*plans)]


def test_nothing_changes_nothing_is_lost() -> None:
    assert told(volume, volume) == []


def test_a_renamed_one_is_lost_and_the_new_one_is_named() -> None:
    (reason,) = told(volume, lambda: volume("store"))
    assert reason.startswith("data (PersistentVolumeClaim) is deleted, with the data that it holds; if it is 'store' now")
    assert told(volume, lambda: volume("store", alias="data")) == []


def test_a_field_that_cannot_change_replaces_it() -> None:
    (reason,) = told(volume, lambda: volume(size="fast"))
    assert "data (PersistentVolumeClaim) is replaced" in reason
    assert "(spec.storageClassName)" in reason
    # An alias keeps the resource, not the object in the cluster.
    (reason,) = told(volume, lambda: volume("store", alias="data", claim="store"))
    assert "metadata.name" in reason


def test_addresses_are_kept_too() -> None:
    def service() -> None:
        k8s.core.v1.Service("web", metadata={"name": "web"}, spec={"ports": [{"port": 80}]})

    def gateway() -> None:
        k8s.apiextensions.CustomResource(
            "way", api_version="gateway.networking.k8s.io/v1", kind="Gateway", metadata={"name": "way"}, spec={}
        )

    def endpoint() -> None:
        aws.sagemaker.Endpoint("chat", endpoint_config_name="config")

    def nothing() -> None:
        """An empty program."""

    for program, name in ((service, "web (Service)"), (gateway, "way (Gateway)"), (endpoint, "chat (Endpoint)")):
        assert told(program, nothing) == [f"{name} is deleted, with the address that it holds"]
    assert told(nothing, service) == []


def test_what_holds_nothing_may_go() -> None:
    def settings() -> None:
        k8s.core.v1.ConfigMap("settings", metadata={"name": "settings"}, data={"a": "b"})

    assert told(settings, volume) == []
