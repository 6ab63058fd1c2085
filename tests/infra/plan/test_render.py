"""Manifests of plans: what they are, in which order, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest
import yaml

from slipway.plan import PlanError, plan_program, plan_project
from slipway.plan.render import render

SHOP = Path(__file__).parent / "programs" / "shop"


def named(name: str, **more: Any) -> k8s.meta.v1.ObjectMetaArgs:
    return k8s.meta.v1.ObjectMetaArgs(name=name, **more)


def faults(program: Callable[[], object], **how: bool) -> list[str]:
    with pytest.raises(PlanError) as refused:
        render(plan_program(program), **how)
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


def test_the_objects_of_a_project_in_the_order_to_apply_them() -> None:
    rendering = render(plan_project(SHOP, "dev"))
    assert list(rendering.files) == ["00-namespace-shop.yaml", "50-service-front-service.yaml", "60-deployment-front-server.yaml"]
    assert rendering.files["60-deployment-front-server.yaml"] == (
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata:\n"
        "  name: front-server\n"
        "  namespace: shop\n"
        "spec:\n"
        "  replicas: 1\n"
        "  selector:\n"
        "    matchLabels:\n"
        "      app: front\n"
        "  template:\n"
        "    metadata:\n"
        "      labels:\n"
        "        app: front\n"
        "    spec:\n"
        "      containers:\n"
        "        - image: shop:1\n"
        "          name: web\n"
    )
    assert rendering.files == render(plan_project(SHOP, "dev")).files


def test_secrets_are_refused_or_left_out_by_name() -> None:
    plan = plan_project(SHOP, "prod")
    with pytest.raises(PlanError, match=r"token \(Secret\): stringData: is secret; make .* with --skip-secrets"):
        render(plan)
    rendering = render(plan, skip_secrets=True)
    assert rendering.secrets == ("shop/token with the keys token",)
    assert not any("secret" in name for name in rendering.files)
    assert [r.name for r in rendering.elsewhere] == ["archive"]


def test_every_value_that_a_manifest_cannot_have_is_told() -> None:
    def program() -> None:
        role = aws.iam.Role("role", assume_role_policy="{}")
        k8s.core.v1.ConfigMap("map", metadata=named("map"), data={"arn": role.arn, "key": pulumi.Output.secret("hush")})
        k8s.core.v1.Service("service", metadata={"name": role.name}, spec={"external_ips": [role.arn]})

    later = "is known only after `up`; give it as configuration, or bring this stack up with Pulumi"
    assert faults(program) == [
        f"map (ConfigMap): data.arn: {later}",
        "map (ConfigMap): data.key: is secret; a manifest would show it. Refer to a Secret instead",
        f"service (Service): metadata.name: {later}",
        f"service (Service): spec.externalIPs[0]: {later}",
    ]


def test_an_unknown_value_in_a_secret_that_is_left_out_is_no_matter() -> None:
    def program() -> None:
        key = aws.iam.AccessKey("key", user="me")
        k8s.core.v1.Secret("secret", metadata=named("secret", namespace="ai"), string_data={"key": key.secret})

    assert render(plan_program(program), skip_secrets=True).secrets == ("ai/secret",)


def test_objects_need_names_of_their_own() -> None:
    def program() -> None:
        k8s.core.v1.Service("nameless", metadata={"generate_name": "a-"})
        for name in ("a", "b"):
            k8s.core.v1.Service(name, metadata=named("same", namespace="ai"))

    assert faults(program) == [
        "b (Service): is the same object as a, ai/same",
        "nameless (Service): metadata.name: is missing; give a name, as kubectl applies no other objects",
    ]


def test_one_name_in_two_namespaces_and_two_groups() -> None:
    def program() -> None:
        for namespace in ("one", "two"):
            k8s.core.v1.Service(f"in-{namespace}", metadata=named("web", namespace=namespace))
        for group in ("a.io", "b.io"):
            k8s.apiextensions.CustomResource(group, api_version=f"{group}/v1", kind="Web", metadata=named("web:x"))

    assert list(render(plan_program(program)).files) == [
        "50-service-web-one-.yaml",
        "50-service-web-two-.yaml",
        "70-web-web_x--a.io.yaml",
        "70-web-web_x--b.io.yaml",
    ]


def test_what_is_read_or_made_by_helm_is_told_apart() -> None:
    def program() -> None:
        k8s.Provider("cluster", context="kind")
        k8s.core.v1.Namespace.get("there", "there")
        k8s.helm.v3.Release("release", chart="redis")
        pulumi.ComponentResource("test:index:Any", "any")

    rendering = render(plan_program(program))
    assert rendering.files == {}
    assert [r.name for r in rendering.expected] == ["there"]
    assert [r.name for r in rendering.elsewhere] == ["release"]


def test_texts_come_back_as_texts_and_lines_stay_lines() -> None:
    data = {
        "number": "1",
        "power": "1e3",
        "octal": "0o7",
        "truth": "Yes",
        "empty": "",
        "null": "null",
        "tilde": "~",
        "date": "2026-01-01",
        "colon": "a: b",
        "end": "a:",
        "time": "12:30:45",
        "comment": "a #b",
        "spaces": " a ",
        "lines": "one\ntwo\n\n  three",
        "trailing": "one \ntwo",
        "tab": "a\tb\nc",
        "url": "https://a.b/c",
        "umlaut": "für",
    }
    (text,) = render(plan_program(lambda: k8s.core.v1.ConfigMap("m", metadata=named("m"), data=data))).files.values()
    assert yaml.safe_load(text)["data"] == data
    for quoted in ('"1e3"', '"0o7"', '"Yes"', '"null"', '"~"', '"2026-01-01"', '"12:30:45"'):
        assert quoted in text
    assert "lines: |-\n    one\n    two\n" in text
    assert "url: https://a.b/c\n" in text


def test_a_patch_has_the_kind_of_what_it_patches() -> None:
    (text,) = render(
        plan_program(lambda: k8s.core.v1.ConfigMapPatch("p", metadata={"name": "there"}, data={"a": "b"}))
    ).files.values()
    assert text.startswith("apiVersion: v1\nkind: ConfigMap\n")
