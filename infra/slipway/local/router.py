"""LocalRouter: the router on this machine, with its configuration made from its backends."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, check_shape
from slipway.backend import Backend, check_router, router_config
from slipway.local.process import LocalProcess
from slipway.local.spec import DIRECTORY, PYTHON, LocalProcessArgs
from slipway_router.config import Listen
from slipway_router.protocol import AWS, GCP
from slipway_router.variables import named_in

CONFIG_FILE = "router.json"
DRAIN_SECONDS = 5.0
"""How long streams may take to finish when a local router is told to end; in a cluster it is much longer."""
# Beyond the drain, what the router takes to close its connections.
_CLOSING_SECONDS = 5.0
_START_SECONDS = 30.0
_AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_PROFILE",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
)
"""Where botocore looks for credentials ("Credentials", Boto3's guide)."""
_GOOGLE_VARIABLES = ("CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS")
"""Where google-auth looks for them ("How Application Default Credentials works", Google Cloud's guide)."""
_ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 -- compared with, never bound


class LocalRouterArgs(TypedDict):
    backends: Sequence[Backend]
    """Where requests can go. At least one; names are unique. A key comes from the environment of whoever runs `up`, by the
    name in `api_key_env`; when it changes, the next `up` restarts the router. AWS and Google Cloud are asked with one's own
    credentials: those of the environment (such as AWS_PROFILE or GOOGLE_APPLICATION_CREDENTIALS) or of the home directory."""
    settings: NotRequired[Mapping[str, Any]]
    """The router's other settings, by the names of `slipway_router.config.Config`: `listen`, `keys`, `policy` and so on.
    It listens on 127.0.0.1:8000, and drains for 5 seconds, unless told otherwise. Kept in state in the clear: no secrets."""
    state_dir: NotRequired[pulumi.Input[str]]
    """Directory for record, log and configuration. Default `.slipway/local/STACK`."""


class LocalRouter(pulumi.ComponentResource):
    """The router as a process on this machine."""

    url: pulumi.Output[str]
    """Where it listens, such as `http://127.0.0.1:8000`; OpenAI's API is below its `/v1`."""
    log: pulumi.Output[str]
    """File with the router's log, relative to the project where it lies in it."""

    def __init__(self, name: str, args: LocalRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments and of the router's configuration.
        """
        settings = checked_settings(name, args)
        super().__init__("slipway:index:LocalRouter", name, dict(args), opts)
        listen = Listen(**settings.get("listen", {}))
        url = f"http://{_host(listen.host)}:{listen.port}"
        config: pulumi.Output[str] = router_config(settings, args["backends"]).apply(_as_text)
        process: LocalProcessArgs = {
            "command": [PYTHON, "-m", "slipway_router", "--config", f"{DIRECTORY}/{CONFIG_FILE}"],
            "files": {CONFIG_FILE: config},
            "pass_environment": sorted({*key_variables(settings, args["backends"]), *credential_variables(args["backends"])}),
            "health": {"url": f"{url}/health", "timeout_seconds": _START_SECONDS},
            "host": listen.host,
            "port": listen.port,
            "stop_grace_seconds": settings["drain_seconds"] + _CLOSING_SECONDS,
        }
        if "state_dir" in args:
            process["state_dir"] = args["state_dir"]
        router = LocalProcess(f"{name}-process", process, opts=pulumi.ResourceOptions(parent=self))

        self.url = pulumi.Output.from_input(url)
        self.log = router.log
        self.register_outputs({"url": self.url, "log": self.log})


def checked_settings(name: str, args: LocalRouterArgs) -> dict[str, Any]:
    """The router's settings with what is different on one's own machine filled in.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments and of the router's configuration.
    """
    faults = Faults("LocalRouter")
    checked = check_shape(args, LocalRouterArgs, faults)
    settings: dict[str, Any] = {"drain_seconds": DRAIN_SECONDS}
    if not faults.at("settings"):
        settings |= checked.get("settings", {})
    if "backends" in settings:
        faults.add("settings.backends", "is told by the argument 'backends'")
    if not faults.at("backends"):
        check_router({k: v for k, v in settings.items() if k != "backends"}, checked.get("backends", ()), faults, "settings")
    faults.refuse(name)
    return settings


def key_variables(settings: Mapping[str, Any], backends: Sequence[Backend]) -> list[str]:
    """Names of the environment variables in which the router looks for keys: its backends', its clients' and its operator's."""
    return sorted({name for _, name in named_in({**settings, "backends": backends})})


def credential_variables(backends: Sequence[Backend]) -> list[str]:
    """Names of the environment variables by which the libraries of the clouds that are asked find credentials. They find files in
    the home directory without."""
    protocols = {backend.get("protocol") for backend in backends}
    return [*(_AWS_VARIABLES if protocols & AWS else ()), *(_GOOGLE_VARIABLES if protocols & GCP else ())]


def _host(listen: str) -> str:
    host = _ANY.get(listen, listen)
    return f"[{host}]" if ":" in host else host


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, indent=2) + "\n"
