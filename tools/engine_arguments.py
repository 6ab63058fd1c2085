"""Records which arguments an engine takes, by its own parser, in tests/infra/kubernetes/engine_arguments.json.

Once for each version that an engine's image is pinned to:

    python tools/engine_arguments.py vllm                       # where vLLM is installed, such as in its image
    python tools/engine_arguments.py sglang                     # where SGLang is
    python tools/engine_arguments.py triton MAIN_PY ARG_UTILS_PY --version 26.07
    python tools/engine_arguments.py tgi MAIN_RS --version 3.0.1
    python tools/engine_arguments.py llama.cpp                  # where xllamacpp is: llama-server's parser of that build
    python tools/engine_arguments.py llama.cpp --both           # and with that of a later one: what both take

MAIN_PY is `python/openai/openai_frontend/main.py` of Triton's frontend, ARG_UTILS_PY is `vllm/engine/arg_utils.py` of the vLLM in
that image, MAIN_RS is `launcher/src/main.rs` of Text Generation Inference. llama.cpp's images are of other builds than the wheels
of xllamacpp: an image's takes what the wheels before and after it take. None of the engines needs a GPU for this. The standard
library is enough, so that any engine's Python runs it.
"""

import argparse
import ast
import ctypes
import importlib
import json
import re
import runpy
import subprocess
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "tests/infra/kubernetes/engine_arguments.json"
_SERVER = 12
"""`LLAMA_EXAMPLE_SERVER` of llama.cpp's common.h."""
_PARSE = "_Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E"
"""`common_params_parse(int, char**, common_params&, llama_example, void (*)(int, char**))`."""
_OBJECT_HEADER = 16
"""Where an extension type's fields begin, in bytes."""


class _Captured(Exception):  # noqa: N818 -- no error
    """A parser, in place of what it would have parsed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def of_argparse(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The options of a parser: names by what they take (0, 1, '?', '*', '+' or a number) and the choices."""
    arguments: dict[str, list[Any]] = {}
    deprecated: list[str] = []
    for action in parser._actions:
        if not action.option_strings or "--help" in action.option_strings:
            continue
        takes = 1 if action.nargs is None else action.nargs
        arguments[" ".join(action.option_strings)] = [takes, *(str(c) for c in _in_order(action.choices or ()))]
        if "Deprecated" in type(action).__name__ or (action.help or "").lower().lstrip("[(").startswith("deprecated"):
            deprecated += action.option_strings
    deprecated += [name for action in getattr(parser, "_deprecated", ()) for name in action.option_strings]
    return {"arguments": arguments, "deprecated": sorted(set(deprecated))}


def _in_order(choices: Iterable[Any]) -> list[Any]:
    """A set has another order in each process."""
    return sorted(choices) if isinstance(choices, set | frozenset) else list(choices)


def vllm() -> dict[str, Any]:
    """vLLM, by `vllm serve`'s own parser."""
    platforms: Any = importlib.import_module("vllm.platforms")
    if platforms.current_platform.is_unspecified():
        # Without a driver it does not know what it runs on, and the parser asks for it.
        platforms._current_platform = importlib.import_module("vllm.platforms.cpu").CpuPlatform()
    parsers: Any = importlib.import_module("vllm.utils.argparse_utils")
    # The parser moves about; what runs `vllm serve` imports it.
    serve: Any = importlib.import_module("vllm.entrypoints.cli.serve")
    environment: dict[str, Any] = vars(importlib.import_module("vllm.envs"))["environment_variables"]
    version: Any = importlib.import_module("vllm.version").__version__
    made = of_argparse(serve.make_arg_parser(parsers.FlexibleArgumentParser()))
    return {"version": version, **made, "environment": sorted(name for name in environment if name.startswith("VLLM_"))}


def sglang() -> dict[str, Any]:
    """SGLang, by its server's own parser."""
    parser = argparse.ArgumentParser()
    importlib.import_module("sglang.srt.server_args").ServerArgs.add_cli_args(parser)
    known: dict[str, Any] = dict(importlib.import_module("sglang.srt.environ").Envs.__dict__)
    environment = sorted(name for name in known if name.startswith("SGLANG_"))
    version: Any = importlib.import_module("importlib.metadata").version("sglang")
    return {"version": version, **of_argparse(parser), "environment": environment}


def triton(main: Path, arg_utils: Path, version: str) -> dict[str, Any]:
    """Triton's OpenAI frontend by its own parser, and the fields of vLLM's `AsyncEngineArgs`, which the backend passes on."""

    def capture(parser: argparse.ArgumentParser, *_: object) -> argparse.Namespace:
        raise _Captured(parser)

    class Anything(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return [] if name == "__path__" else int

    imported = re.findall(r"^(?:from|import) ([a-z_.]+)", main.read_text(), re.MULTILINE)
    for name in imported:
        parts = name.split(".")
        if parts[0] not in sys.stdlib_module_names:
            for i in range(len(parts)):
                sys.modules.setdefault(".".join(parts[: i + 1]), Anything(name))
    parse_args = runpy.run_path(str(main))["parse_args"]
    argparse.ArgumentParser.parse_args = capture  # type: ignore[assignment,method-assign]
    made: dict[str, Any] = {}
    try:
        parse_args()
    except _Captured as captured:
        made = of_argparse(captured.parser)
    classes = [n for n in ast.parse(arg_utils.read_text()).body if isinstance(n, ast.ClassDef)]
    fields = [
        field.target.id
        for one in classes
        if one.name in ("EngineArgs", "AsyncEngineArgs")
        for field in one.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    return {"version": version, **made, "environment": [], "engine_fields": sorted(fields)}


def tgi(main: Path, version: str) -> dict[str, Any]:
    """Text Generation Inference's launcher, by the attributes from which clap makes its parser."""
    source = re.sub(r"^\s*//.*\n", "", main.read_text(), flags=re.MULTILINE)
    enums: dict[str, list[str]] = {}
    for name, body in re.findall(
        r"ValueEnum[^\]]*\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?enum (\w+) \{(.*?)^\}", source, re.DOTALL | re.MULTILINE
    ):
        variants = re.findall(r'(?:#\[clap\(name = "([^"]+)"\)\]\s*)?(?:#\[[^\]]*\]\s*)*([A-Z]\w*),', body)
        enums[name] = [said or _kebab(variant) for said, variant in variants]
    struct = re.search(r"^struct Args \{(.*?)^\}", source, re.DOTALL | re.MULTILINE)
    assert struct is not None, "no 'struct Args'"
    arguments: dict[str, list[Any]] = {}
    environment: list[str] = []
    for attributes, field, kind in re.findall(r"#\[clap\(([^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(\w+): ([^\n]+),", struct.group(1)):
        said = set(re.sub(r'"[^"]*"', "", attributes).replace(" ", "").split(","))
        inner = re.sub(r"^(?:Option|Vec)<(.*)>$", r"\1", re.sub(r"^Option<(.*)>$", r"\1", kind))
        names = [f"--{field.replace('_', '-')}", *([f"-{field[0]}"] if "short" in said else [])]
        choices = enums.get(inner, ["true", "false"] if kind == "Option<bool>" else [])
        arguments[" ".join(names)] = [0 if kind == "bool" else 1, *choices]
        environment += [field.upper()] if "env" in said else []
    return {"version": version, "arguments": arguments, "deprecated": [], "environment": sorted(environment)}


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def llama_cpp() -> dict[str, Any]:
    """llama.cpp, by the help that the parser of llama-server prints, in a process of its own since it ends that."""
    command = [sys.executable, __file__, "llama-server", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- this program
    arguments: dict[str, list[Any]] = {}
    deprecated: list[str] = []
    environment: list[str] = []
    # An option begins a line; what it is for begins in column 40, or on the next line.
    for block in re.split(r"\n(?=-)", printed.stdout):
        head = re.split(r"\s{2,}(?=[^-\s])", block.split("\n", 1)[0], maxsplit=1)[0]
        names = re.findall(r"(?:^|[\s,])(--?[a-zA-Z][a-zA-Z0-9-]*)", head)
        value = re.sub(r"(?:^|[\s,])--?[a-zA-Z][a-zA-Z0-9-]*", "", head).strip(" ,")
        choices = re.fullmatch(r"[\[{<]([a-z0-9_]+(?:[|,][a-z0-9_]+)+)[\]}>]", value)
        if names:
            arguments[" ".join(names)] = [1 if value else 0, *(re.split("[|,]", choices.group(1)) if choices else ())]
            environment += re.findall(r"\(env: (\w+)\)", block)
            deprecated += names if re.search(r"deprecated|argument has been removed", block, re.IGNORECASE) else []
    version: Any = importlib.import_module("xllamacpp").__version__
    return {
        "version": f"b{version.split('.')[2]}",
        "arguments": arguments,
        "deprecated": sorted(deprecated),
        "environment": sorted(set(environment)),
    }


def parse_as_llama_server(words: list[str]) -> Any:
    """What llama-server makes of these words: its parameters, as xllamacpp tells them, or `None` where it refuses them."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parse = ctypes.CDLL(importlib.import_module("xllamacpp.xllamacpp").__file__)[_PARSE]
    parse.restype = ctypes.c_bool
    parameters = xllamacpp.CommonParams()
    told = [b"llama-server", *(word.encode() for word in words)]
    place = ctypes.c_void_p(id(parameters) + _OBJECT_HEADER)
    taken = parse(len(told), (ctypes.c_char_p * (len(told) + 1))(*told, None), place, _SERVER, None)
    return parameters if taken else None


def main() -> None:
    """See the module."""
    if sys.argv[1:2] == ["llama-server"]:
        sys.exit(parse_as_llama_server(sys.argv[2:]) is None)
    cli = argparse.ArgumentParser(description="Records which arguments an engine takes.")
    cli.add_argument("engine", choices=["vllm", "sglang", "triton", "tgi", "llama.cpp"])
    cli.add_argument("sources", nargs="*", type=Path, help="with 'triton' and 'tgi': see the module")
    cli.add_argument("--version", help="with 'triton' and 'tgi': of the image")
    cli.add_argument("--both", action="store_true", help="keep only what the recorded version takes too")
    told = cli.parse_args()
    read = {"vllm": vllm, "sglang": sglang, "triton": triton, "tgi": tgi, "llama.cpp": llama_cpp}[told.engine]
    made: dict[str, Any] = read(*told.sources, *([told.version] if told.version else []))
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(written({**record, told.engine: both(record[told.engine], made) if told.both else made}))


def both(older: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """What two versions take."""
    return {
        "version": f"{older['version']} {newer['version']}",
        "arguments": {k: v for k, v in newer["arguments"].items() if older["arguments"].get(k) == v},
        "deprecated": newer["deprecated"],
        "environment": sorted(set(older["environment"]) & set(newer["environment"])),
    }


def written(record: dict[str, Any]) -> str:
    """As JSON, a line for each argument, so that a new version's differences can be read."""
    text = json.dumps(dict(sorted(record.items())), indent=1, sort_keys=True)
    lists = re.compile(r"\[\n\s+([^\[\]]*?)\s*\]")
    return lists.sub(lambda found: "[" + re.sub(r",\s*", ", ", found.group(1)) + "]", text) + "\n"


if __name__ == "__main__":
    main()
