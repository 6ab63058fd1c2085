"""The settings of a stack: every fault at once, with its path in the YAML."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from settings import Settings

LLAMA = {"name": "llama", "place": "local"}
OPENAI = {"vendor": "openai", "name": "gpt", "model": "gpt-4o"}
LOCAL = {"place": "local"}


def faults_of(data: Mapping[str, Any]) -> list[str]:
    with pytest.raises(pulumi.RunError) as refused:
        Settings.parse(data)
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "slipway:models: is empty, and so is slipway:vendors; give at least one model or vendor"),
        ({"models": [{"name": "llama"}]}, "slipway:models[0].place: is required"),
        (
            {"models": [{**LLAMA, "place": "azure"}]},
            "slipway:models[0].place: is 'azure'; input should be 'local', 'kubernetes', 'aws' or 'gcp'",
        ),
        (
            {"models": [LLAMA, LLAMA]},
            "slipway:models[1].name: 'llama' is there twice, first as slipway:models[0]; names must differ",
        ),
        (
            {"models": [LLAMA], "vendors": [{**OPENAI, "name": "llama"}], "router": LOCAL},
            "slipway:vendors[0].name: 'llama' is there twice, first as slipway:models[0]; names must differ",
        ),
        (
            {"vendors": [OPENAI]},
            "slipway:vendors: need a router to use them; give slipway:router, or leave the vendors out",
        ),
        (
            {"vendors": [OPENAI], "router": {"place": "kubernetes"}},
            "slipway:vendors[0].api_key: is required in a cluster; give 'name' and 'key' of the Secret that holds it",
        ),
        (
            {"models": [LLAMA], "vendors": [{**OPENAI, "vendor": "acme"}], "router": LOCAL},
            "slipway:vendors[0].vendor: is 'acme'; ",
        ),
        (
            {"models": [LLAMA], "router": {**LOCAL, "build": {}}},
            "slipway:router.build: is for a cluster; a local router runs from what is installed",
        ),
        (
            {"models": [LLAMA], "router": {"place": "kubernetes", "image": "a:1", "build": {}}},
            "slipway:router.build: excludes 'image'; keep one of the two",
        ),
        (
            {"models": [LLAMA], "createNamespace": False, "namespaceArgs": {"quota": {"gpus": 8}}},
            "slipway:namespaceArgs: are of no use where slipway:createNamespace is false; leave them out",
        ),
        (
            {"models": [LLAMA], "namespaceArgs": {"namespace": "b"}},
            "slipway:namespaceArgs.namespace: has a setting of its own; give slipway:namespace",
        ),
        ({"models": [LLAMA], "model": []}, "slipway:model: is not a setting here"),
        (
            {"models": [{**LLAMA, "routing": {"qualty": "low"}}]},
            "slipway:models[0].routing.qualty: is not a setting here",
        ),
        (
            {"models": [{**LLAMA, "routing": {"model": "m"}}]},
            "slipway:models[0].routing.model: goes with place 'aws' or 'gcp', and this is 'local'; leave it out",
        ),
        (
            {"models": [{**LLAMA, "place": "gcp", "routing": {"component": "a"}}]},
            "slipway:models[0].routing.component: goes with place 'aws', and this is 'gcp'; leave it out",
        ),
        (
            {"models": [{**LLAMA, "place": "gcp", "routing": {"project_number": "mine"}}]},
            "slipway:models[0].routing.project_number: is 'mine'; ",
        ),
        (
            {"vendors": [{**OPENAI, "routing": {"model": "m"}}], "router": LOCAL},
            "slipway:vendors[0].routing.model: is not a setting here",
        ),
    ],
)
def test_each_fault_is_told_by_its_path(data: Mapping[str, Any], fault: str) -> None:
    (found,) = faults_of(data)
    assert found.startswith(fault)


def test_all_faults_are_told_at_once() -> None:
    found = faults_of({"models": [{"name": "Llama", "place": "moon"}], "vendors": [{"vendor": "openai"}], "namespace": "No"})
    assert [line.split(": ")[0] for line in found] == [
        "slipway:namespace",
        "slipway:models[0].name",
        "slipway:models[0].place",
        "slipway:vendors[0].name",
        "slipway:vendors[0].model",
    ]


def test_what_the_settings_do_not_name_goes_to_the_component() -> None:
    settings = Settings.parse({"models": [{**LLAMA, "port": 8101, "context_tokens": 512}], "router": {**LOCAL, "settings": {}}})
    assert settings.models[0].args == {"port": 8101, "context_tokens": 512}
    assert settings.router
    assert settings.router.args == {"settings": {}}


def test_a_projects_number_may_be_a_number() -> None:
    settings = Settings.parse({"models": [{**LLAMA, "place": "gcp", "routing": {"project_number": 42, "serves": ["a"]}}]})
    assert settings.models[0].backend == {"project_number": "42", "serves": ["a"]}


def test_an_asynchronous_endpoint_is_none_for_a_router() -> None:
    told = [{"name": "a", "place": "aws"}, {"name": "b", "place": "aws", "async_inference": {"output_s3_uri": "s3://b/o/"}}]
    assert [m.routable for m in Settings.parse({"models": told}).models] == [True, False]
