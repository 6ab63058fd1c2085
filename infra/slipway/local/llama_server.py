"""Runs llama.cpp's own HTTP server, from the wheel `xllamacpp`: `python -m slipway.local.llama_server --help`.

It speaks OpenAI's API: /v1/chat/completions and /v1/completions, streamed or not, /v1/models, /v1/embeddings where asked
for; and /health. Only this machine can reach it. SIGTERM and SIGINT end it.
"""

import argparse
import importlib
import ipaddress
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

from slipway.local.download import Download, ServeError, fetch, missing, say
from slipway.local.port import taken
from slipway.local.tiny_model import write_tiny_model

MAGIC = b"GGUF"
PROMPT_CACHE_MIB = 512
"""Most memory for the state of past prompts, in MiB; llama.cpp's own default of 8 GiB is a server's."""


def check_model(path: Path) -> None:
    """Raises `ServeError` when a file cannot be a model for llama.cpp."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ServeError(f"the model {path} cannot be read: {error.strerror}") from None
    if magic != MAGIC:
        raise ServeError(f"the model {path} is no GGUF file; llama.cpp reads only that format")


def serve(model: Path, options: argparse.Namespace) -> Never:
    """Serve until SIGTERM or SIGINT, then end this process. Streams that are under way are cut.

    Raises:
        ServeError: The wheel is missing, or llama.cpp refuses the model.
    """
    try:
        # It has no type information.
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ModuleNotFoundError as error:
        raise missing(error) from None

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {options.alias}
    params.hostnames = [options.host]
    params.port = options.port
    # llama.cpp divides the context among its slots.
    params.n_ctx = options.context_tokens * options.parallel
    params.n_parallel = options.parallel
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = False
    # Prompts of others are none of a caller's business, and a web page is no caller.
    params.endpoint_slots = False
    params.cors_origins = f"http://{options.host}:{options.port}"
    params.cors_origins_explicit = True
    if options.embeddings:
        params.embedding = True
        # OpenAI's API wants one vector a text.
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # A text to embed must fit into one physical batch.
        params.n_batch = params.n_ubatch = options.context_tokens
    # Blocked before llama.cpp starts its threads, so that the signal waits for sigwait and interrupts none of them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    began = time.monotonic()
    say(f"loading {model} ({model.stat().st_size / 2**20:.1f} MiB)")
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # noqa: BLE001 -- C++ tells its faults by whatever it likes
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ServeError(f"llama.cpp cannot serve {model}: {reason[0]}; what it said is above") from None
    say(f"ready after {time.monotonic() - began:.2f} s: {server.listening_address}/v1 serves '{options.alias}'")
    ended_by = signal.sigwait({signal.SIGTERM, signal.SIGINT})
    say(f"ending on {signal.Signals(ended_by).name}")
    # llama.cpp's own end would wait for every stream, for ever where a client has stopped to read. Nothing is left to write.
    os._exit(0)


def parser() -> argparse.ArgumentParser:
    """The command line."""

    def loopback(text: str) -> str:
        if not ipaddress.ip_address(text).is_loopback:
            raise argparse.ArgumentTypeError(f"{text} can be reached from elsewhere; give a loopback address such as 127.0.0.1")
        return text

    def between(least: int, most: int) -> Any:
        def whole(text: str) -> int:
            if not text.isdecimal() or not least <= int(text) <= most:
                raise argparse.ArgumentTypeError(f"is {text!r}; give {least} to {most}")
            return int(text)

        return whole

    def download(text: str) -> Download:
        try:
            return Download.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    found = argparse.ArgumentParser(prog="python -m slipway.local.llama_server", description=(__doc__ or "").split("\n\n")[0])
    model = found.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, metavar="PATH", help="a GGUF file")
    model.add_argument("--tiny", type=Path, metavar="PATH", help="write a tiny model there and serve it: it babbles")
    model.add_argument("--download", type=download, metavar="ORG/REPO/FILE@COMMIT", help="a GGUF file on the Hugging Face Hub")
    found.add_argument("--cache", type=Path, default=Path(".slipway/models"), help="where downloads are kept (%(default)s)")
    found.add_argument("--host", type=loopback, default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    found.add_argument("--port", type=between(1, 65535), required=True, help="TCP port")
    found.add_argument("--alias", required=True, help="the model's name in the API")
    found.add_argument("--context-tokens", type=between(64, 2**20), default=2048, help="tokens a request may have (%(default)s)")
    found.add_argument("--parallel", type=between(1, 256), default=2, help="requests at the same time (%(default)s)")
    found.add_argument("--embeddings", action="store_true", help="serve /v1/embeddings too")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line until a signal ends it with exit code 0; the code is 1 after an error, 2 for wrong arguments."""
    options = parser().parse_args(arguments)
    try:
        if reason := taken(options.host, options.port):
            raise ServeError(f"port {options.port} on {options.host} cannot be had ({reason}); give another one")
        if options.tiny:
            try:
                write_tiny_model(options.tiny)
            except ModuleNotFoundError as error:
                raise missing(error) from None
            except OSError as error:
                raise ServeError(f"the model {options.tiny} cannot be written: {error.strerror}") from None
            say(f"wrote {options.tiny}: a tiny model with random weights. It babbles")
        model: Path = options.tiny or options.model or fetch(options.download, options.cache)
        check_model(model)
        serve(model, options)
    except ServeError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
