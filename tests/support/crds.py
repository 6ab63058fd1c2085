"""Custom resources against the schemas of their CustomResourceDefinitions, which come inside the operators' Go modules.

Linkerd's and Consul's come in none: for these there are outlines of what we use (outlines.yaml), or the definitions
themselves, in a folder that SLIPWAY_CRDS names. As strict as the API server with `fieldValidation=Strict`: a field that
the schema does not know is a fault. Rules in CEL, defaults and an operator's own webhook are not looked at. Without Go, or
without its module proxy, the tests that ask are skipped.
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
_ISTIO = ("istio.io/api@v1.31.1", "kubernetes", "customresourcedefinitions.gen.yaml")
_CERTIFICATES = ("github.com/cert-manager/cert-manager@v1.21.2", "deploy/crds")
_SECRETS = ("github.com/external-secrets/external-secrets@v0.18.2", "config/crds/bases")
_GROUPS = ("sigs.k8s.io/lws@v0.8.0", "config/crd/bases")
SOURCES = {
    "PodMonitor": (*_PROMETHEUS, "monitoring.coreos.com_podmonitors.yaml"),
    "PrometheusRule": (*_PROMETHEUS, "monitoring.coreos.com_prometheusrules.yaml"),
    "ServiceMonitor": (*_PROMETHEUS, "monitoring.coreos.com_servicemonitors.yaml"),
    "ScaledObject": (*_KEDA, "keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (*_KEDA, "keda.sh_triggerauthentications.yaml"),
    "Gateway": (*_GATEWAY, "gateway.networking.k8s.io_gateways.yaml"),
    "HTTPRoute": (*_GATEWAY, "gateway.networking.k8s.io_httproutes.yaml"),
    "LeaderWorkerSet": (*_GROUPS, "leaderworkerset.x-k8s.io_leaderworkersets.yaml"),
    "VerticalPodAutoscaler": (*_AUTOSCALER, "vpa-v1-crd-gen.yaml"),
    "ExternalSecret": (*_SECRETS, "external-secrets.io_externalsecrets.yaml"),
    "Certificate": (*_CERTIFICATES, "cert-manager.io_certificates.yaml"),
    "PeerAuthentication": _ISTIO,
    "RequestAuthentication": _ISTIO,
    "AuthorizationPolicy": _ISTIO,
    "DestinationRule": _ISTIO,
    "VirtualService": _ISTIO,
    "Telemetry": _ISTIO,
}
"""Kind: Go module with its version, folder and file of the definition."""


OUTLINES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "outlines.yaml").read_text())
"""API version, then kind: what there is of it in outlines.yaml."""


def is_custom(manifest: Mapping[str, Any]) -> bool:
    """Whether its kind is not Kubernetes' own, and known here."""
    return manifest["apiVersion"] in OUTLINES or manifest["kind"] in SOURCES


def crd_faults(manifest: Mapping[str, Any]) -> list[str]:
    """What the definition of the manifest's kind and version does not allow, one line each; empty if nothing."""
    validator = _validator(str(manifest["kind"]), str(manifest["apiVersion"]))
    errors = cast("Iterable[Any]", validator.iter_errors(dict(manifest)))  # pyright: ignore[reportUnknownMemberType] -- its stub
    return [f"{error.json_path}: {error.message}" for error in errors]


def definition(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind. Without Go, or without its module proxy, the test that asks is skipped."""
    module, folder, file = SOURCES[kind]
    for document in _documents(_module(module) / folder / file):
        if document["spec"]["names"]["kind"] == kind:
            return document
    raise AssertionError(f"{file} does not define {kind}")


def module_file(kind: str, path: str) -> Path:
    """A file of the Go module that the definition of a kind comes in."""
    return _module(SOURCES[kind][0]) / path


def given_definitions() -> list[dict[str, Any]]:
    """The definitions in the folder that SLIPWAY_CRDS names; none where it names none."""
    folder = os.environ.get("SLIPWAY_CRDS")
    files = sorted(Path(folder).rglob("*.yaml")) if folder else []
    return [d for file in files for d in _documents(file) if d and d.get("kind") == "CustomResourceDefinition"]


@functools.cache
def _documents(file: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(file.read_text(), loader))


@functools.cache
def _validator(kind: str, api_version: str) -> Draft202012Validator:
    group = api_version.partition("/")[0]
    given = [d for d in given_definitions() if (d["spec"]["names"]["kind"], d["spec"]["group"]) == (kind, group)]
    if api_version in OUTLINES and not given:
        spec_schema = _outlined(OUTLINES[api_version][kind])
        return Draft202012Validator({"type": "object", "properties": {"spec": spec_schema}, "required": ["spec"]})
    spec = (given[0] if given else definition(kind))["spec"]
    served = {f"{spec['group']}/{v['name']}": v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["served"]}
    assert api_version in served, f"{kind} is served as {', '.join(served)}, not as {api_version}"
    schema = _strict(served[api_version])
    # Every object has these; Istio's definitions do not say so.
    schema["properties"] = {"apiVersion": {}, "kind": {}, "metadata": {}, **schema["properties"]}
    return Draft202012Validator(schema)


def _outlined(outline: Any) -> dict[str, Any]:
    """An outline as a JSON schema."""
    if isinstance(outline, list):
        (item,) = cast("list[Any]", outline)
        return {"type": "array", "items": _outlined(item)}
    if isinstance(outline, Mapping):
        fields = cast("Mapping[str, Any]", outline)
        if "*" in fields:
            return {"type": "object", "additionalProperties": _outlined(fields["*"])}
        return {
            "type": "object",
            "properties": {name.rstrip("!"): _outlined(field) for name, field in fields.items()},
            "required": [name.rstrip("!") for name in fields if name.endswith("!")],
            "additionalProperties": False,
        }
    if outline == "any":
        return {}
    return {"enum": outline.split("|")} if "|" in outline else {"type": outline}


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
