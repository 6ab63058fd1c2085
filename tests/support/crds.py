"""Custom resources against the schemas of their CustomResourceDefinitions, which come inside the operators' Go modules.

As strict as the API server with `fieldValidation=Strict`: a field that the schema does not know is a fault. Rules in CEL,
defaults and an operator's own webhook are not looked at. Without Go, or without its module proxy, the tests that ask are skipped.
"""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from jsonschema import Draft202012Validator

_PROMETHEUS = ("github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd")
_KEDA = ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases")
_GATEWAY = ("sigs.k8s.io/gateway-api@v1.6.3", "config/crd/standard")
_AUTOSCALER = ("k8s.io/autoscaler/vertical-pod-autoscaler@v1.8.1", "deploy")
_SECRETS = ("github.com/external-secrets/external-secrets@v0.18.2", "config/crds/bases")
_GROUPS = ("sigs.k8s.io/lws@v0.8.0", "config/crd/bases")
SOURCES = {
    "ServiceMonitor": (*_PROMETHEUS, "monitoring.coreos.com_servicemonitors.yaml"),
    "ScaledObject": (*_KEDA, "keda.sh_scaledobjects.yaml"),
    "Gateway": (*_GATEWAY, "gateway.networking.k8s.io_gateways.yaml"),
    "HTTPRoute": (*_GATEWAY, "gateway.networking.k8s.io_httproutes.yaml"),
    "LeaderWorkerSet": (*_GROUPS, "leaderworkerset.x-k8s.io_leaderworkersets.yaml"),
    "VerticalPodAutoscaler": (*_AUTOSCALER, "vpa-v1-crd-gen.yaml"),
    "ExternalSecret": (*_SECRETS, "external-secrets.io_externalsecrets.yaml"),
}
"""Kind: Go module with its version, folder and file of the definition."""


def crd_faults(manifest: Mapping[str, Any]) -> list[str]:
    """What the definition of the manifest's kind and version does not allow, one line each; empty if nothing."""
    validator = _validator(str(manifest["kind"]), str(manifest["apiVersion"]))
    errors = cast("Iterable[Any]", validator.iter_errors(dict(manifest)))  # pyright: ignore[reportUnknownMemberType] -- its stub
    return [f"{error.json_path}: {error.message}" for error in errors]


@functools.cache
def definition(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind. Without Go, or without its module proxy, the test that asks is skipped."""
    module, folder, file = SOURCES[kind]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in yaml.load_all((_module(module) / folder / file).read_text(), loader):
        if document["spec"]["names"]["kind"] == kind:
            return document
    raise AssertionError(f"{file} does not define {kind}")


@functools.cache
def _validator(kind: str, api_version: str) -> Draft202012Validator:
    spec = definition(kind)["spec"]
    served = {f"{spec['group']}/{v['name']}": v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["served"]}
    assert api_version in served, f"{kind} is served as {', '.join(served)}, not as {api_version}"
    return Draft202012Validator(_strict(served[api_version]))


@functools.cache
def _module(module: str) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed, and the definitions come inside Go modules")
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told: dict[str, str] = json.loads(done.stdout or "{}")
    if done.returncode != 0 or "Dir" not in told:
        pytest.skip(f"{module} cannot be had: {told.get('Error') or done.stderr.strip()}")
    return Path(told["Dir"])


def _strict(schema: object) -> Any:
    """The schema, with what it does not name forbidden wherever it names something."""
    if isinstance(schema, list):
        return [_strict(item) for item in cast("list[object]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    plain = {key: _strict(value) for key, value in cast("Mapping[str, object]", schema).items()}
    closed = "properties" in plain and "additionalProperties" not in plain
    if closed and not plain.get("x-kubernetes-preserve-unknown-fields"):
        plain["additionalProperties"] = False
    return plain
