"""The arguments of a `VertexEndpoint`: every default filled in, every fault told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from slipway.args import Faults, check_shape, known
from slipway.gcp.machines import accelerator_fault, region_fault
from slipway.gcp.vertex_deployment_spec import traffic_fault
from slipway.gcp.vertex_endpoint_args import VertexEndpointArgs

ROLE_SUFFIX = "_invoker_"
ROLE_DIGEST = 8
NAME_LIMIT = 64 - len(ROLE_SUFFIX) - ROLE_DIGEST
"""A custom role's id has at most 64 characters (IAM API Reference: projects.roles.create)."""
VARIABLES_LIMIT = 100
"""Variables of a container ("Custom container requirements for inference", Vertex AI's guide)."""
LABELS_LIMIT = 62
"""Labels of one resource are 64 at most ("Labeling resources", Google Cloud's guide); the provider and we add one each."""
START_LIMIT_SECONDS = 7200
"""`ModelContainerSpec.deployment_timeout` in Vertex AI's API reference."""
PERCENTS = ("cpu", "accelerator", "cache")

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_KEY = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
_LOCATION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_PUBLISHER_MODEL = re.compile(r"publishers/[^/@]+/models/[^/@]+@[^/@]+")
_HUGGING_FACE_MODEL = re.compile(r"[\w.-]+/[\w.-]+")
_IMAGE = re.compile(
    r"([a-z0-9-]+-docker\.pkg\.dev/[^/:@]+(:[^/:@]+)?/[^/:@]+|([a-z]+\.)?gcr\.io/[^/:@]+)/[^:@]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
)
_ARTIFACTS = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^*?\[\]#]*)?")
_BIGQUERY = re.compile(r"bq://[^./]+(\.[^./]+){0,2}")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_CHANNEL = re.compile(r"projects/[^/]+/notificationChannels/[^/]+")
_ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_GARDEN = ("publisher_model_name", "hugging_face_model_id", "hugging_face_token", "accept_eula")
_MACHINES = ("machine_type", "accelerator_type", "accelerator_count", "min_replicas", "max_replicas", "spot")
_OWN = ("request_logging", "kms_key", "labels", "deploy_timeout_minutes", "service_account")


@dataclass(frozen=True)
class Machines:
    """The machines asked for, checked, with every default filled in."""

    machine_type: str
    accelerator_type: str | None
    accelerator_count: int
    min_replicas: int
    max_replicas: int
    spot: bool


@dataclass(frozen=True)
class OwnModel:
    """One of `models`, checked, with every default filled in; what may come from elsewhere stays in the arguments."""

    machines: Machines
    traffic: int
    metrics: Mapping[str, int]
    port: int
    predict_route: str
    health_route: str
    access_logging: bool


@dataclass(frozen=True)
class Resolved:
    """What a `VertexEndpoint` is, of what can be known beforehand."""

    machines: Machines | None
    """Of Model Garden's model; None where it decides."""
    models: Mapping[str, OwnModel]
    dedicated: bool

    @property
    def replicas(self) -> tuple[int, int] | None:
        """Fewest and most replicas that have traffic, None where Model Garden decides."""
        serving = [m.machines for m in self.models.values() if m.traffic] or ([self.machines] if self.machines else [])
        return (sum(m.min_replicas for m in serving), sum(m.max_replicas for m in serving)) if serving else None


def resolve(name: str, args: VertexEndpointArgs) -> Resolved:
    """Check and fill in.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments.
    """
    faults = Faults("VertexEndpoint")
    given = check_shape(args, VertexEndpointArgs, faults)
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        faults.add(
            "name",
            f"(the component's own) is {name!r}; give at most {NAME_LIMIT} letters, digits, '-', '.' and '_': "
            "a custom role's id has 64 characters (IAM API: projects.roles.create)",
        )
    _shaped(given, "location", _LOCATION, "a region such as 'europe-west4'", faults)
    machines, models = None, dict[str, OwnModel]()
    if "models" in given:
        models = _models(given, faults)
    else:
        machines = _garden(given, faults)
    _check_endpoint(given, faults)
    _check_alerts(given, faults)
    faults.refuse(name)
    return Resolved(machines, models, given.get("dedicated_endpoint", "private_service_connect" not in given))


def _garden(given: Mapping[str, Any], faults: Faults) -> Machines | None:
    for key in _OWN:
        if key in given:
            faults.add(
                key, "goes with 'models': Model Garden's deployments have none; give your container there, or leave this out"
            )
    if ("publisher_model_name" in given) == ("hugging_face_model_id" in given):
        faults.add(
            "publisher_model_name", "give either 'publisher_model_name' or 'hugging_face_model_id', or 'models' of your own"
        )
    if "hugging_face_token" in given and "hugging_face_model_id" not in given:
        faults.add("hugging_face_token", "goes with 'hugging_face_model_id'")
    _shaped(given, "publisher_model_name", _PUBLISHER_MODEL, "publishers/PUBLISHER/models/MODEL@VERSION", faults)
    _shaped(given, "hugging_face_model_id", _HUGGING_FACE_MODEL, "ORGANISATION/MODEL, such as 'Qwen/Qwen3-0.6B'", faults)
    if given.get("machine_type") is None:
        for key in ("accelerator_type", "min_replicas", "max_replicas", "spot"):
            if key in given:
                faults.add(key, "goes with 'machine_type'; give that too, or leave both to Model Garden")
    return _machines(given, "", given.get("location"), faults)


def _models(given: Mapping[str, Any], faults: Faults) -> dict[str, OwnModel]:
    for key in (*_GARDEN, *_MACHINES):
        if key in given:
            place = f"give models.NAME.{key} instead" if key in _MACHINES else "give one of the two"
            faults.add(key, f"is for Model Garden, and there are 'models' of your own; {place}")
    asked = cast("Mapping[str, Any]", given["models"])
    if faults.at("models"):
        return {}
    if not asked:
        faults.add("models", "is empty; give at least one model, or one of Model Garden's")
    found: dict[str, OwnModel] = {}
    for key, one in asked.items():
        path = f"models.{key}"
        if not _KEY.fullmatch(key):
            faults.add(path, "is no name here; give at most 20 lower case letters, digits and '-', a letter first")
        machines = _machines(one, f"{path}.", given.get("location"), faults)
        _check_container(one, path, faults)
        metrics = _metrics(one, path, faults)
        if "traffic" not in one and len(asked) > 1:
            faults.add(f"{path}.traffic", "is required where there are several models; give percents that add up to 100")
        if machines is not None:
            found[key] = OwnModel(
                machines,
                one.get("traffic", 100),
                metrics,
                one.get("port", 8080),
                one.get("predict_route", "/v1/chat/completions"),
                one.get("health_route", "/health"),
                one.get("access_logging", False),
            )
    shares = {key: one["traffic"] for key, one in asked.items() if "traffic" in one}
    if shares and len(shares) == len(asked) and not any(faults.at(f"models.{key}.traffic") for key in asked):
        fault = traffic_fault(shares, list(asked))
        if fault:
            told = " + ".join(f"{key} {share}" for key, share in shares.items())
            faults.add("models", f"have the traffic {told}, which {fault} (Endpoint.traffic_split in Vertex AI's API reference)")
    return found


def _machines(given: Mapping[str, Any], path: str, location: object, faults: Faults) -> Machines | None:
    machine, kind = given.get("machine_type"), given.get("accelerator_type")
    if "accelerator_count" in given and kind is None:
        faults.add(f"{path}accelerator_count", "goes with 'accelerator_type'")
    numbers: dict[str, int] = {}
    for key in ("accelerator_count", "min_replicas"):
        numbers[key] = given.get(key, 1)
        if not faults.at(f"{path}{key}") and numbers[key] < 1:
            rule = ": Vertex AI scales no deployment to 0 (its API: DedicatedResources)" if key == "min_replicas" else ""
            faults.add(f"{path}{key}", f"is {numbers[key]}; give at least 1{rule}")
    least = numbers["min_replicas"]
    most = given.get("max_replicas", least)
    if not faults.at(f"{path}max_replicas") and not faults.at(f"{path}min_replicas") and most < least:
        faults.add(
            f"{path}max_replicas",
            f"is {most}, below min_replicas ({least}); give at least that (Vertex AI API: DedicatedResources)",
        )
    if machine is None or any(faults.at(f"{path}{k}") for k in ("machine_type", "accelerator_type", "accelerator_count")):
        return None
    fault = accelerator_fault(machine, kind, numbers["accelerator_count"])
    if fault:
        faults.add(f"{path}{fault[0]}", fault[1])
    elif isinstance(location, str) and (lacking := region_fault(machine, location)):
        faults.add(f"{path}machine_type", lacking)
    return Machines(machine, kind, numbers["accelerator_count"], least, most, given.get("spot", False))


def _check_container(one: Mapping[str, Any], path: str, faults: Faults) -> None:
    image = "REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME with :TAG or @sha256:DIGEST: Vertex AI pulls from Artifact Registry"
    _shaped(one, "image", _IMAGE, image, faults, path)
    _shaped(one, "artifact_uri", _ARTIFACTS, "gs://BUCKET/FOLDER", faults, path)
    for key in ("predict_route", "health_route"):
        if key in one and not faults.at(f"{path}.{key}") and not one[key].startswith("/"):
            faults.add(f"{path}.{key}", f"is {one[key]!r}; give a path that begins with '/'")
    _between(one, "port", 1, 65535, faults, path)
    _between(one, "traffic", 0, 100, faults, path)
    _between(one, "shared_memory_mib", 1, None, faults, path)
    _between(one, "start_timeout_seconds", 1, START_LIMIT_SECONDS, faults, path)
    variables = cast("Mapping[str, Any]", one.get("environment") or {})
    if len(variables) > VARIABLES_LIMIT:
        faults.add(f"{path}.environment", f"has {len(variables)} variables; Vertex AI takes {VARIABLES_LIMIT} at most")
    for key in variables:
        if not _VARIABLE.fullmatch(key) or key.startswith("AIP_"):
            faults.add(f"{path}.environment.{key}", "is no name for a variable; give letters, digits and '_', and not 'AIP_...'")


def _metrics(one: Mapping[str, Any], path: str, faults: Faults) -> Mapping[str, int]:
    targets = cast("Mapping[str, int]", one.get("scaling") or {})
    if faults.at(f"{path}.scaling"):
        return {}
    if "accelerator" in targets and one.get("accelerator_type") is None:
        faults.add(f"{path}.scaling.accelerator", "goes with 'accelerator_type'")
    if targets and one.get("max_replicas", 1) <= one.get("min_replicas", 1) and not faults.at(f"{path}.max_replicas"):
        faults.add(f"{path}.scaling", "has nothing to scale; give a 'max_replicas' above 'min_replicas'")
    for key in targets:
        _between(targets, key, 1, 100 if key in PERCENTS else None, faults, f"{path}.scaling")
    return targets


def _check_endpoint(given: Mapping[str, Any], faults: Faults) -> None:
    _shaped(
        given, "service_account", _ACCOUNT, "the account's e-mail address, such as 'NAME@PROJECT.iam.gserviceaccount.com'", faults
    )
    _shaped(given, "kms_key", _KMS_KEY, "projects/P/locations/L/keyRings/R/cryptoKeys/K", faults)
    _between(given, "deploy_timeout_minutes", 1, None, faults)
    private = given.get("private_service_connect")
    if isinstance(private, Mapping) and not faults.at("private_service_connect") and not private["projects"]:
        faults.add("private_service_connect.projects", "is empty; give the projects whose networks may connect")
    logging = given.get("request_logging")
    if isinstance(logging, Mapping) and not faults.at("request_logging"):
        logged = cast("Mapping[str, Any]", logging)
        _shaped(logged, "bigquery_uri", _BIGQUERY, "bq://PROJECT.DATASET.TABLE", faults, "request_logging")
        rate = logged.get("sampling_rate", 1)
        if not 0 < rate <= 1:
            faults.add("request_logging.sampling_rate", f"is {rate:g}; give a share above 0 and at most 1")
    labels = given.get("labels")
    if isinstance(labels, Mapping) and not faults.at("labels"):
        own = cast("Mapping[str, str]", labels)
        if len(own) > LABELS_LIMIT:
            faults.add("labels", f"are {len(own)}; give {LABELS_LIMIT} at most")
        for key, value in own.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
                faults.add(
                    f"labels.{key}",
                    f"is {value!r}; give at most 63 lower case letters, digits, '_' and '-' for each, a letter first",
                )


def _check_alerts(given: Mapping[str, Any], faults: Faults) -> None:
    alerts = cast("Mapping[str, Any]", given.get("alerts"))
    if not alerts or faults.at("alerts"):
        return
    if not alerts["notification_channels"]:
        faults.add("alerts.notification_channels", "is empty; give at least one, or nobody is told")
    for i, channel in enumerate(alerts["notification_channels"]):
        _shape(channel, f"alerts.notification_channels[{i}]", _CHANNEL, "projects/PROJECT/notificationChannels/ID", faults)
    ratio = alerts.get("error_ratio", 0.05)
    if not 0 < ratio < 1:
        faults.add("alerts.error_ratio", f"is {ratio:g}; give a share between 0 and 1, such as 0.05")
    if alerts.get("latency_p95_ms", 1) <= 0:
        faults.add("alerts.latency_p95_ms", f"is {alerts['latency_p95_ms']:g}; give milliseconds above 0")
    window = alerts.get("window_seconds", 300)
    if window % 60 or not 60 <= window <= 84600:
        faults.add("alerts.window_seconds", f"is {window}; give a multiple of 60 from 60 to 84600")


def _shaped(given: Mapping[str, Any], key: str, shape: re.Pattern[str], wanted: str, faults: Faults, path: str = "") -> None:
    _shape(given.get(key), f"{path}.{key}" if path else key, shape, wanted, faults)


def _shape(given: object, path: str, shape: re.Pattern[str], wanted: str, faults: Faults) -> None:
    def check(value: object) -> None:
        if isinstance(value, str) and not faults.at(path) and not shape.fullmatch(value):
            faults.add(path, f"is {value!r}; give {wanted}")

    known(given, check)


def _between(given: Mapping[str, Any], key: str, least: int, most: int | None, faults: Faults, path: str = "") -> None:
    here = f"{path}.{key}" if path else key
    if key not in given or faults.at(here):
        return
    value = given[key]
    if value < least or (most is not None and value > most):
        faults.add(here, f"is {value}; give {f'{least} to {most}' if most is not None else f'at least {least}'}")
