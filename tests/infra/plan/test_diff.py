"""Differences between plans, on plans made from programs."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest

from slipway.plan import Plan, plan_program
from slipway.plan.diff import Kind, PathChange, compare, told


def deployment(replicas: int = 1, env: tuple[str, ...] = ("A", "B"), image: str = "web:1", **opts: Any) -> Callable[[], None]:
    def program() -> None:
        labels = {"app.kubernetes.io/name": "web"}
        container: k8s.core.v1.ContainerArgsDict = {
            "name": "web",
            "image": image,
            "env": [{"name": n, "value": n.lower()} for n in env],
        }
        k8s.apps.v1.Deployment(
            "web",
            metadata={"name": "web", "labels": labels},
            spec={
                "replicas": replicas,
                "selector": {"match_labels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
            opts=pulumi.ResourceOptions(**opts),
        )

    return program


def paths(old: Callable[[], object], new: Callable[[], object]) -> list[tuple[str, Any, Any]]:
    return [(p.path, p.old, p.new) for c in compare(plan_program(old), plan_program(new)) for p in c.paths]


def test_equal_plans_differ_in_nothing_also_when_one_is_from_a_file() -> None:
    plan = plan_program(deployment())
    assert compare(plan, plan) == []
    assert compare(Plan.from_json(plan.to_json()), plan) == []


def test_added_and_deleted() -> None:
    def old() -> None:
        k8s.core.v1.Service("gone", metadata={"name": "gone"})
        k8s.core.v1.Service("kept", metadata={"name": "kept"})

    def new() -> None:
        k8s.core.v1.Service("kept", metadata={"name": "kept"})
        k8s.core.v1.Service("made", metadata={"name": "made"})

    changes = compare(plan_program(old), plan_program(new))
    assert [(c.kind, c.resource.name) for c in changes] == [(Kind.DELETED, "gone"), (Kind.ADDED, "made")]


def test_changes_are_told_by_path_with_old_and_new() -> None:
    container = "inputs.spec.template.spec.containers[web]"
    assert paths(deployment(), deployment(replicas=3, env=("B", "C"), image="web:2", protect=True)) == [
        ("inputs.spec.replicas", 1, 3),
        (f"{container}.env[A]", {"name": "A", "value": "a"}, None),
        (f"{container}.env[C]", None, {"name": "C", "value": "c"}),
        (f"{container}.image", "web:1", "web:2"),
        ("options.protect", False, True),
    ]


def test_a_changed_order_of_named_entries_is_one_change() -> None:
    path = "inputs.spec.template.spec.containers[web].env[*]"
    assert paths(deployment(), deployment(env=("B", "A"))) == [(path, ["A", "B"], ["B", "A"])]


def test_what_is_ignored_is_no_change() -> None:
    assert paths(deployment(ignore_changes=["spec.replicas"]), deployment(2, ignore_changes=["spec.replicas"])) == []


def test_keys_with_dots_are_quoted() -> None:
    def labelled(value: str) -> Callable[[], object]:
        return lambda: k8s.core.v1.Service("s", metadata={"name": "s", "labels": {"a.b/c": value}})

    assert paths(labelled("x"), labelled("y")) == [('inputs.metadata.labels["a.b/c"]', "x", "y")]


def test_truth_and_numbers_are_not_the_same() -> None:
    def of(value: Any) -> Callable[[], object]:
        return lambda: pulumi.ComponentResource("test:index:Any", "any", {"value": value})

    assert paths(of(True), of(1)) == [("inputs.value", True, 1)]


def test_unknown_and_secret_values_are_told_as_such() -> None:
    def of(value: Callable[[], Any]) -> Callable[[], object]:
        return lambda: pulumi.ComponentResource("test:index:Any", "any", {"value": value()})

    def role() -> pulumi.Output[str]:
        return aws.iam.Role("role", assume_role_policy="{}").arn

    secret = of(lambda: pulumi.Output.secret("hush"))
    changes = [(told(o), told(n)) for _, o, n in paths(of(lambda: "clear"), secret)]
    assert changes == [("clear", "[secret]")]
    assert [(told(o), told(n)) for _, o, n in paths(of(lambda: {"a": 1}), of(role))] == [("{a: 1}", "(known after up)")]
    # A secret's value is in no plan's JSON.
    assert paths(secret, of(lambda: pulumi.Output.secret("other"))) == []


def claim(name: str = "data", storage: str = "1Gi", classname: str = "fast", **opts: Any) -> Callable[[], object]:
    return lambda: k8s.core.v1.PersistentVolumeClaim(
        name,
        metadata={"name": name},
        spec={"storage_class_name": classname, "resources": {"requests": {"storage": storage}}},
        opts=pulumi.ResourceOptions(**opts),
    )


@pytest.mark.parametrize(
    ("old", "new", "replaced", "lost"),
    [
        (claim(), claim(storage="2Gi"), False, False),
        (claim(), claim(classname="slow"), True, True),
        (claim(retain_on_delete=True), claim(classname="slow", retain_on_delete=True), True, False),
        (claim(), lambda: None, False, True),
        (claim(retain_on_delete=True), lambda: None, False, False),
        (lambda: None, claim(), False, False),
        (deployment(), lambda: None, False, False),
    ],
)
def test_data_that_would_be_lost_is_marked(
    old: Callable[[], object], new: Callable[[], object], replaced: bool, lost: bool
) -> None:
    (change,) = compare(plan_program(old), plan_program(new))
    assert (change.replaced, change.loses_data) == (replaced, lost)


def test_a_field_that_only_begins_like_a_fixed_one_replaces_nothing() -> None:
    def custom(value: str) -> Callable[[], object]:
        def program() -> None:
            inputs = {"apiVersion": "a.io/v1", "kind": "C", "metadata": {"name": "c"}, "kindred": value}
            pulumi.CustomResource("kubernetes:a.io/v1:C", "c", inputs)

        return program

    assert not compare(plan_program(custom("a")), plan_program(custom("b")))[0].replaced

    def of(prefix: str = "a", **more: Any) -> Callable[[], object]:
        return lambda: k8s.core.v1.ConfigMap("m", metadata={"name": "m", "generate_name": prefix}, **more)

    (change,) = compare(plan_program(of("a")), plan_program(of("b")))
    assert not change.replaced
    for immutable in (True, False):
        old, new = (plan_program(of(data={"a": v}, immutable=immutable)) for v in "xy")
        assert compare(old, new)[0].replaced is immutable


def volume(path: str, size: str) -> Callable[[], object]:
    return lambda: k8s.core.v1.PersistentVolume(
        "v", metadata={"name": "v"}, spec={"capacity": {"storage": size}, "nfs": {"path": path, "server": "nfs"}}
    )


@pytest.mark.parametrize(("new", "replaced"), [(volume("/a", "2Gi"), False), (volume("/b", "1Gi"), True)])
def test_a_volume_may_grow_but_not_move(new: Callable[[], object], replaced: bool) -> None:
    (change,) = compare(plan_program(volume("/a", "1Gi")), plan_program(new))
    assert change.replaced is replaced


def test_a_renamed_component_with_an_alias_is_the_same() -> None:
    class Pair(pulumi.ComponentResource):
        def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
            super().__init__("test:index:Pair", name, {}, opts)
            k8s.core.v1.Service(f"{name}-a", metadata={"name": "fixed"}, opts=pulumi.ResourceOptions(parent=self))

    old = plan_program(lambda: Pair("before"))
    renamed = compare(old, plan_program(lambda: Pair("after", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="before")]))))
    assert [(c.kind, c.paths) for c in renamed] == [
        (Kind.CHANGED, (PathChange("name", "before-a", "after-a"),)),
        (Kind.CHANGED, (PathChange("name", "before", "after"),)),
    ]
    assert {c.kind for c in compare(old, plan_program(lambda: Pair("after")))} == {Kind.ADDED, Kind.DELETED}


def test_a_resource_that_moved_under_a_component_with_an_alias_is_the_same() -> None:
    def moved() -> None:
        home = pulumi.ComponentResource("test:index:Home", "home")
        alias = pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)
        k8s.core.v1.Service("s", metadata={"name": "s"}, opts=pulumi.ResourceOptions(parent=home, aliases=[alias]))

    changes = compare(plan_program(lambda: k8s.core.v1.Service("s", metadata={"name": "s"})), plan_program(moved))
    assert [(c.kind, c.resource.name) for c in changes] == [(Kind.ADDED, "home")]


def test_long_values_are_cut() -> None:
    assert told("a\n  b") == "a b"
    assert (len(told("x" * 500)), told(None), told(True)) == (80, "(none)", "true")
