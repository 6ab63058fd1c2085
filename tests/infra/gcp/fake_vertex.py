"""Vertex AI's services for models and endpoints, run by a test: by the routes that Google's own client publishes, with its own
message types, long-running operations, failures and restarts.

What each method refuses is what the API reference says that it does. Whether a container starts is nobody's question here.
"""

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import google.auth.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.endpoint_service.transports import rest_base as endpoint_rest
from google.cloud.aiplatform_v1.services.model_service.transports import rest_base as model_rest
from google.longrunning import operations_pb2
from google.protobuf import json_format

api: Any = aiplatform_v1
HTTP = {3: 400, 5: 404, 6: 409, 8: 429, 9: 400, 10: 409, 14: 503, 16: 401}
STATUS = {
    3: "INVALID_ARGUMENT",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
ACCESS_TOKEN = "ya29.of-a-test"
"""Is taken, beside what the account's key signs."""
OPERATIONS = ("GetOperation", "ListOperations", "CancelOperation")
Route = tuple[str, re.Pattern[str], str, str | None]


class RefusedError(Exception):
    """An error of the service, by its code of gRPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Running:
    """An operation and what it does when it ends."""

    name: str
    until: float
    end: Callable[[], Any]
    undo: Callable[[], None]
    error: tuple[int, str] | None = None
    done: bool = False
    result: Any = None


@dataclass(frozen=True)
class Instant:
    """The endpoint between two changes."""

    split: Mapping[str, int]
    ready: frozenset[str]
    deployed: frozenset[str]


@functools.cache
def _keys() -> tuple[str, bytes]:
    # A test's own, and short: reading one checks it, which takes a tenth of a second with 2048 bits.
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.decode(), key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@functools.cache
def routes() -> tuple[Route, ...]:
    """Every route of the two services, from the rules in Google's client; read once, since that takes a quarter of a second."""
    return tuple(_published())


def _published() -> Iterator[Route]:
    for module, transport in (
        (endpoint_rest, "_BaseEndpointServiceRestTransport"),
        (model_rest, "_BaseModelServiceRestTransport"),
    ):
        published: dict[str, Any] = {**vars(getattr(module, transport))}
        for name, rules in published.items():
            if not name.startswith("_Base") or not hasattr(rules, "_get_http_options"):
                continue
            for rule in rules._get_http_options():
                pattern = re.sub(r"\\\{([\w\\.]+)=(.*?)\\\}", _group, re.escape(rule["uri"]))
                yield rule["method"].upper(), re.compile(pattern), name.removeprefix("_Base"), rule.get("body")


def _group(found: re.Match[str]) -> str:
    field_path = found[1].replace(re.escape("."), "__")  # a group's name has no dot
    return f"(?P<{field_path}>{found[2].replace(re.escape('*'), '[^/:]+')})"


@dataclass
class FakeVertex:
    """The services' state. It outlives the server, as the cloud outlives a connection."""

    seconds: float = 0.05
    """How long an operation takes."""
    operation_seconds: dict[str, float] = field(default_factory=dict[str, float])
    """The same, by the method that begins it."""
    models: dict[str, Any] = field(default_factory=dict[str, Any])
    endpoints: dict[str, Any] = field(default_factory=dict[str, Any])
    ready: set[str] = field(default_factory=set[str])
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    history: list[Instant] = field(default_factory=list[Instant])
    calls: list[str] = field(default_factory=list[str])
    operation_errors: dict[str, Sequence[tuple[int, str] | None]] = field(
        default_factory=dict[str, Sequence[tuple[int, str] | None]]
    )
    """By the method, what its next operations fail with; None: that one goes well."""
    refusals: dict[str, list[RefusedError]] = field(default_factory=dict[str, list[RefusedError]])
    """By the method, what its next calls are answered with."""
    lost_answers: dict[str, int] = field(default_factory=dict[str, int])
    """By the method, how many of its next calls are done and answered with 503."""
    refused_tokens: int = 0
    tokens: list[str] = field(default_factory=list[str])
    port: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._routes = routes()
        self._server: ThreadingHTTPServer | None = None
        self.private_key, self._public = _keys()

    # What a test does.

    def endpoint(self, name: str) -> str:
        """There is an endpoint of this name now."""
        self.endpoints[name] = api.Endpoint(name=name, display_name=name.rpartition("/")[2])
        return name

    def key_file(self, folder: Path) -> str:
        """A service account's key."""
        path = folder / "account.json"
        path.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": "p",
                    "private_key_id": "k1",
                    "private_key": self.private_key,
                    "client_email": "deployer@p.iam.gserviceaccount.com",
                    "token_uri": "http://127.0.0.1:1/token",
                }
            )
        )
        return str(path)

    def start(self) -> "FakeVertex":
        """Listen, on the port of the time before."""
        vertex = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, answer = vertex.answer(self.command, self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Be gone for a while: what runs goes on."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def serving(self) -> Generator["FakeVertex"]:
        """Started, and stopped at the end."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/"

    def deployed(self, endpoint: str) -> dict[str, Any]:
        """What is deployed there, by id."""
        with self._lock:
            self._tick()
            return {m.id: m for m in self.endpoints[endpoint].deployed_models}

    def gaps(self) -> list[Instant]:
        """Instants, from the first traffic to the last, at which a share of it went nowhere."""
        busy = [i for i, instant in enumerate(self.history) if instant.split]
        between = self.history[busy[0] : busy[-1] + 1] if busy else []
        return [i for i in between if sum(i.split.values()) != 100 or not set(i.split) <= i.ready or not i.ready <= i.deployed]

    # What the service does.

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """One call."""
        with self._lock:
            try:
                self._authenticate({k.lower(): v for k, v in headers.items()}.get("authorization", ""))
                url = urlsplit(target)
                for verb, pattern, name, where in self._routes:
                    found = pattern.fullmatch(url.path) if verb == method else None
                    if found:
                        return 200, self._call(name, found.groupdict(), dict(parse_qsl(url.query)), where, body)
                raise RefusedError(5, f"no method at {url.path}")
            except RefusedError as refused:
                error = {"code": HTTP[refused.code], "message": str(refused), "status": STATUS[refused.code]}
                return HTTP[refused.code], json.dumps({"error": error}).encode()

    def _authenticate(self, header: str) -> None:
        token = header.removeprefix("Bearer ")
        if token == ACCESS_TOKEN:
            return
        jwt: Any = google.auth.jwt
        try:
            claims = jwt.decode(token, certs=self._public)
        except ValueError as error:
            raise RefusedError(16, f"Request had invalid authentication credentials: {error}") from None
        assert claims["iss"] == "deployer@p.iam.gserviceaccount.com"
        self.tokens.append(token)
        if self.refused_tokens:
            self.refused_tokens -= 1
            raise RefusedError(16, "Request had invalid authentication credentials.")

    def _call(self, name: str, path: Mapping[str, str], query: Mapping[str, str], where: str | None, body: bytes) -> bytes:
        self._tick()
        self.calls.append(name)
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        request = self._request(name, path, query, where, body)
        made = getattr(self, f"_{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}")(request)
        if self.lost_answers.get(name):
            self.lost_answers[name] -= 1
            raise RefusedError(14, "The service is unavailable.")
        kind: Any = made.__class__
        message = kind.pb(made) if hasattr(kind, "pb") else made
        return json_format.MessageToJson(message).encode()

    def _request(self, name: str, path: Mapping[str, str], query: Mapping[str, str], where: str | None, body: bytes) -> Any:
        given: Any = json.loads(body) if body.strip() else {}
        data: dict[str, Any] = given if where == "*" else {where: given} if where else {}
        for key, value in {**query, **{k.replace("__", "."): v for k, v in path.items()}}.items():
            if key.startswith("$"):
                continue
            at = data
            *above, last = key.split(".")
            for part in above:
                at = at.setdefault(part, {})
            at[last] = value
        kind: Any = getattr(operations_pb2, f"{name}Request") if name in OPERATIONS else getattr(api, f"{name}Request")
        message = kind() if name in OPERATIONS else kind.pb(kind())
        # Strict: a field that the service does not have is the client's fault.
        json_format.ParseDict(data, message)
        return message if name in OPERATIONS else kind.wrap(message)

    def _begin(self, resource: str, name: str, end: Callable[[], Any], undo: Callable[[], None]) -> Any:
        error, *left = self.operation_errors.get(name) or [None]
        self.operation_errors[name] = left
        running = Running(
            f"{resource}/operations/{len(self.running) + 1}",
            time.monotonic() + self.operation_seconds.get(name, self.seconds),
            end,
            undo,
            error,
        )
        self.running[running.name] = running
        return self._told(running)

    def _tick(self) -> None:
        for running in self.running.values():
            if not running.done and time.monotonic() >= running.until:
                running.done = True
                running.result = running.undo() if running.error else running.end()
                self._note()

    def _note(self) -> None:
        for endpoint in self.endpoints.values():
            deployed = frozenset(m.id for m in endpoint.deployed_models)
            self.history.append(Instant(dict(endpoint.traffic_split), frozenset(self.ready), deployed))

    def _told(self, running: Running) -> Any:
        told = operations_pb2.Operation(name=running.name, done=running.done)
        if running.done and running.error:
            told.error.code, told.error.message = running.error
        elif running.done:
            kind: Any = running.result.__class__
            told.response.Pack(kind.pb(running.result))
        return told

    def _get_operation(self, request: Any) -> Any:
        if request.name not in self.running:
            raise RefusedError(5, f"Operation {request.name} is not found.")
        return self._told(self.running[request.name])

    def _list_operations(self, request: Any) -> Any:
        assert request.filter == "done=false"
        found = [self._told(r) for r in self.running.values() if r.name.startswith(f"{request.name}/") and not r.done]
        return operations_pb2.ListOperationsResponse(operations=found)

    def _cancel_operation(self, request: Any) -> Any:
        running = self.running[request.name]
        if not running.done:
            running.error, running.until = (1, "Operation was cancelled."), time.monotonic()
        return operations_pb2.Operation()

    def _upload_model(self, request: Any) -> Any:
        name = f"{request.parent}/models/{request.model_id}"
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", request.model_id):
            raise RefusedError(3, f"Invalid model id {request.model_id}.")
        if name in self.models or any(r.name.startswith(f"{name}/") and not r.done for r in self.running.values()):
            raise RefusedError(6, f"Model {name} already exists.")

        def end() -> Any:
            self.models[name] = api.Model(request.model)
            self.models[name].name, self.models[name].version_id = name, "1"
            return api.UploadModelResponse(model=name, model_version_id="1")

        return self._begin(name, "UploadModel", end, lambda: None)

    def _get_model(self, request: Any) -> Any:
        return self._model(request.name)

    def _update_model(self, request: Any) -> Any:
        assert list(request.update_mask.paths) == ["labels"]
        model = self._model(request.model.name)
        model.labels = dict(request.model.labels)
        return model

    def _delete_model(self, request: Any) -> Any:
        self._model(request.name)
        if any(m.model == request.name for e in self.endpoints.values() for m in e.deployed_models):
            raise RefusedError(9, f"The Model {request.name} is deployed at an endpoint.")

        def end() -> Any:
            del self.models[request.name]
            return api.DeleteOperationMetadata()

        return self._begin(request.name, "DeleteModel", end, lambda: None)

    def _model(self, name: str) -> Any:
        if name not in self.models:
            raise RefusedError(5, f"The Model {name} does not exist.")
        return self.models[name]

    def _endpoint(self, name: str) -> Any:
        if name not in self.endpoints:
            raise RefusedError(5, f"The Endpoint {name} does not exist.")
        return self.endpoints[name]

    def _get_endpoint(self, request: Any) -> Any:
        return self._endpoint(request.name)

    def _update_endpoint(self, request: Any) -> Any:
        assert list(request.update_mask.paths) == ["traffic_split"]
        endpoint, split = self._endpoint(request.endpoint.name), dict(request.endpoint.traffic_split)
        if split and sum(split.values()) != 100:
            raise RefusedError(3, f"Traffic percentages must add up to 100, not {sum(split.values())}.")
        if not set(split) <= self.ready:
            raise RefusedError(3, f"Traffic for deployed models that are not there: {sorted(set(split) - self.ready)}.")
        endpoint.traffic_split = split
        self._note()
        return endpoint

    def _deploy_model(self, request: Any) -> Any:
        endpoint, wanted = self._endpoint(request.endpoint), request.deployed_model
        self._model(wanted.model)
        if not re.fullmatch(r"[0-9]{1,10}", wanted.id):
            raise RefusedError(3, f"Invalid deployed model id {wanted.id}.")
        if wanted.dedicated_resources.min_replica_count < 1:
            raise RefusedError(3, "min_replica_count must be at least 1.")
        if any(m.id == wanted.id for m in endpoint.deployed_models):
            raise RefusedError(6, f"DeployedModel {wanted.id} already exists.")
        endpoint.deployed_models.append(wanted)  # half made, and billed, until its operation ends
        self._note()

        def end() -> Any:
            self.ready.add(wanted.id)
            return api.DeployModelResponse(deployed_model=wanted)

        return self._begin(request.endpoint, "DeployModel", end, lambda: None)

    def _undeploy_model(self, request: Any) -> Any:
        endpoint = self._endpoint(request.endpoint)
        if not any(m.id == request.deployed_model_id for m in endpoint.deployed_models):
            raise RefusedError(5, f"DeployedModel {request.deployed_model_id} does not exist.")
        if request.deployed_model_id in endpoint.traffic_split:
            raise RefusedError(9, f"DeployedModel {request.deployed_model_id} has traffic.")

        def end() -> Any:
            left = [m for m in endpoint.deployed_models if m.id != request.deployed_model_id]
            del endpoint.deployed_models[:]
            endpoint.deployed_models.extend(left)
            self.ready.discard(request.deployed_model_id)
            return api.UndeployModelResponse()

        return self._begin(request.endpoint, "UndeployModel", end, lambda: None)

    def _mutate_deployed_model(self, request: Any) -> Any:
        endpoint = self._endpoint(request.endpoint)
        (there,) = [m for m in endpoint.deployed_models if m.id == request.deployed_model.id]
        paths = [p.removeprefix("dedicated_resources.") for p in request.update_mask.paths]

        def end() -> Any:
            for path in paths:
                setattr(there.dedicated_resources, path, getattr(request.deployed_model.dedicated_resources, path))
            return api.MutateDeployedModelResponse(deployed_model=there)

        return self._begin(request.endpoint, "MutateDeployedModel", end, lambda: None)
