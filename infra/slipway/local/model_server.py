"""LocalModelServer: llama.cpp on this machine, with a model of the user's, a downloaded one, or a tiny one that babbles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape
from slipway.backend import Backend
from slipway.local.download import Download
from slipway.local.process import LocalProcess
from slipway.local.spec import DIRECTORY, PYTHON, LocalProcessArgs
from slipway_router.schema import NAME

HOST = "127.0.0.1"
# What a download may need: a gated repository's token, a mirror, a proxy. Handed on, never kept.
_DOWNLOAD_ENVIRONMENT = ("HF_TOKEN", "HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_TINY_START, _MODEL_START, _DOWNLOAD_START = 60.0, 600.0, 3600.0


class LocalModelServerArgs(TypedDict):
    model: NotRequired[str]
    """Path of a GGUF file, relative to the project. Excludes `download`. Without either, a tiny model is made: it babbles."""
    download: NotRequired[str]
    """A GGUF file on the Hugging Face Hub that may be downloaded: ORGANISATION/REPOSITORY/FILE.gguf@COMMIT, with the
    commit's 40 digits. Excludes `model`."""
    cache_dir: NotRequired[str]
    """Where downloads are kept, relative to the project. They stay when the stack goes. Default `.slipway/models`."""
    port: NotRequired[int]
    """TCP port on 127.0.0.1. Default 8001."""
    context_tokens: NotRequired[int]
    """Most tokens of one request, prompt and answer together. Default 2048, 64 to 1048576."""
    parallel: NotRequired[int]
    """Requests that are answered at the same time; more wait. Each takes memory for its context. Default 2, 1 to 256."""
    embeddings: NotRequired[bool]
    """Whether /v1/embeddings is served beside chat and completions. Default false."""
    start_timeout_seconds: NotRequired[float]
    """How long download and loading may take, in seconds. Default 60 for the tiny model, 600 for a file, 3600 with a download."""
    state_dir: NotRequired[pulumi.Input[str]]
    """Directory for record, log and tiny model. Default `.slipway/local/STACK`."""


@dataclass(frozen=True)
class LocalModel:
    """What is served and how, checked, with every default filled in."""

    model: str | None
    download: str | None
    cache_dir: str = ".slipway/models"
    port: int = 8001
    context_tokens: int = 2048
    parallel: int = 2
    embeddings: bool = False
    start_timeout_seconds: float = _TINY_START

    @classmethod
    def of(cls, name: str, args: LocalModelServerArgs) -> "LocalModel":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("LocalModelServer")
        given = {k: v for k, v in check_shape(args, LocalModelServerArgs, faults).items() if k != "state_dir"}
        model, download = given.pop("model", None), given.pop("download", None)
        if not NAME.fullmatch(name):
            faults.add("name", f"is {name!r}; give lower case letters, digits, '-' and '.', at most 63, such as 'llama-1b'")
        if model is not None and download is not None:
            faults.add("download", "excludes 'model'; keep one of the two")
        if isinstance(download, str):
            try:
                Download.parse(download)
            except ValueError as error:
                faults.add("download", str(error))
        for key, least, most in (("port", 1, 65535), ("context_tokens", 64, 2**20), ("parallel", 1, 256)):
            value = given.get(key)
            if isinstance(value, int) and not least <= value <= most:
                faults.add(key, f"is {value}; give {least} to {most}")
        timeout = given.get("start_timeout_seconds")
        if isinstance(timeout, int | float) and timeout <= 0:
            faults.add("start_timeout_seconds", f"is {timeout:g}; give more than 0 seconds")
        faults.refuse(name)
        default = _DOWNLOAD_START if download else _MODEL_START if model else _TINY_START
        given.setdefault("start_timeout_seconds", default)
        return cls(model=model, download=download, **given)

    @property
    def babbles(self) -> bool:
        """Whether it is the tiny model."""
        return self.model is None and self.download is None

    def command(self, alias: str) -> Sequence[str]:
        """The server's command line."""
        if self.model is not None:
            source = ["--model", self.model]
        elif self.download is not None:
            source = ["--download", self.download, "--cache", self.cache_dir]
        else:
            source = ["--tiny", f"{DIRECTORY}/tiny.gguf"]
        numbers = {
            "--host": HOST,
            "--port": self.port,
            "--alias": alias,
            "--context-tokens": self.context_tokens,
            "--parallel": self.parallel,
        }
        return [
            *(PYTHON, "-m", "slipway.local.llama_server", *source),
            *(text for option, value in numbers.items() for text in (option, str(value))),
            *(["--embeddings"] if self.embeddings else []),
        ]


class LocalModelServer(pulumi.ComponentResource):
    """A llama.cpp server on this machine that speaks OpenAI's API. Only this machine can reach it."""

    url: pulumi.Output[str]
    """Base address of its API, such as `http://127.0.0.1:8001/v1`."""
    babbles: pulumi.Output[bool]
    """Whether it serves the tiny generated model, whose answers are words in random order."""
    log: pulumi.Output[str]
    """File with the server's log, relative to the project where it lies in it."""

    def __init__(self, name: str, args: LocalModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments.
        """
        model = LocalModel.of(name, args)
        super().__init__("slipway:index:LocalModelServer", name, dict(args), opts)
        self._name, self._model = name, model
        process: LocalProcessArgs = {
            "command": model.command(name),
            "health": {"url": f"http://{HOST}:{model.port}/health", "timeout_seconds": model.start_timeout_seconds},
            "host": HOST,
            "port": model.port,
        }
        if model.download is not None:
            process["pass_environment"] = _DOWNLOAD_ENVIRONMENT
        if "state_dir" in args:
            process["state_dir"] = args["state_dir"]
        server = LocalProcess(f"{name}-server", process, opts=pulumi.ResourceOptions(parent=self))

        self.url = pulumi.Output.from_input(self._url())
        self.babbles = pulumi.Output.from_input(model.babbles)
        self.log = server.log
        self.register_outputs({"url": self.url, "babbles": self.babbles, "log": self.log})

    def backend(self, **more: Any) -> Backend:
        """The server as a backend of a router.

        Args:
            more: Any field of `Backend`; it wins over what is known here. `name` is this component's by default,
                `quality` 'low' for a model that babbles.
        """
        tasks = ["chat", "completions", *(["embeddings"] if self._model.embeddings else [])]
        known: dict[str, Any] = {
            "name": self._name,
            "url": self._url(),
            "model": self._name,
            "tasks": tasks,
            "self_hosted": True,
            "quality": "low" if self._model.babbles else "medium",
            "context_tokens": self._model.context_tokens,
            "resource": self._name,
        }
        return cast("Backend", {**known, **more})

    def _url(self) -> str:
        return f"http://{HOST}:{self._model.port}/v1"
