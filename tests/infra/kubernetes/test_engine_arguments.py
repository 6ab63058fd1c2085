"""Every argument that a model server gives its engine, judged by the engine's own parser at the version that its image has.

No engine but llama.cpp runs here. What their parsers take stands in engine_arguments.json, which tools/engine_arguments.py reads
from an engine that is installed; with each new image it is made anew. What a parser does not tell, such as that two arguments
exclude each other, is not proved.
"""

import ast
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL

from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.lora import RANKS
from slipway.kubernetes.model_engine import EngineContainer, ModelEngine

RECORD: Mapping[str, Any] = json.loads(Path(__file__).with_name("engine_arguments.json").read_text())
COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
ADAPTERS = [{"name": n, "uri": f"hf://ai/{n}@{COMMIT}"} for n in ("short", "formal")]
ON_GPUS: Sequence[Mapping[str, Any]] = [
    {},
    {"dtype": "bfloat16"},
    {"dtype": "float16"},
    {"kv_cache_dtype": "fp8"},
    {"context_tokens": 8192, "parallel_requests": 16},
    {"gpu_memory_utilization": 0.85, "longest_stream_seconds": 60},
    {"weights": {"uri": f"hf://ai/model@{COMMIT}"}},
    {"offline": True},
]
EMBEDDINGS: Mapping[str, Any] = {"tasks": ["embeddings"], "context_tokens": 512}
FLOAT32: Mapping[str, Any] = {"dtype": "float32", "accelerator": "a100-80gb:8"}
NAMED: Mapping[str, Any] = {"served_name": "llama"}
PIPELINE: Mapping[str, Any] = {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}
LORA = [{"adapters": ADAPTERS, "max_lora_rank": rank} for rank in RANKS]
NODES: Mapping[str, Any] = {"nodes": 2, "accelerator": "h100-80gb:8"}
REVISION: Mapping[str, Any] = {"revision": COMMIT}
MANY: Mapping[str, Any] = {"context_tokens": 4096, "parallel_requests": 4096, "tokens_per_request": 50}
WHOLE = [*ON_GPUS, EMBEDDINGS, FLOAT32, NAMED, PIPELINE, MANY, *LORA]
MATRIX: Mapping[ModelEngine, Sequence[Mapping[str, Any]]] = {
    ModelEngine.VLLM: [*WHOLE, NODES, REVISION],
    ModelEngine.SGLANG: [*WHOLE, NODES, REVISION],
    ModelEngine.TGI: [*ON_GPUS, REVISION],
    ModelEngine.TRITON: WHOLE,
    ModelEngine.LLAMA_CPP: [
        {},
        EMBEDDINGS,
        NAMED,
        {"context_tokens": 8192, "parallel_requests": 16},
        REVISION,
        {"offline": True},
    ],
}
CASES = [(engine, case) for engine, cases in MATRIX.items() for case in cases]
PREFIX = {ModelEngine.VLLM: "VLLM_", ModelEngine.SGLANG: "SGLANG_", ModelEngine.LLAMA_CPP: "LLAMA_ARG_"}
"""By which its variables are told from those of the libraries that it uses."""
DEFAULTS = {"--batch-size", "--ubatch-size", "--default-max-tokens", "--max-num-batched-tokens"}
"""What the component sets and a user may set otherwise, since the last one wins."""
SECRET = re.compile(r"--.*(api-key|password|secret|authtoken|hf-token)")


def rendered(engine: ModelEngine, case: Mapping[str, Any]) -> EngineContainer:
    base = SMALL if engine is ModelEngine.LLAMA_CPP else LLAMA
    settings = GpuModelServerSettings.of("llama", cast("GpuModelServerArgs", {**base, **case, "engine": engine.value}))
    return settings.engine.container(settings.server)


def options(engine: ModelEngine, part: EngineContainer) -> dict[str, list[str]]:
    """The arguments by name with their values; what belongs to none stands under ''."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in [*part.args, *part.worker_args]:
        if re.match("--?[a-zA-Z]", word):
            name = word
            assert name not in found, "given twice"
            found[name] = []
        else:
            found.setdefault(name, []).append(word)
    return found


def takes(engine: ModelEngine) -> dict[str, list[Any]]:
    """How many values each name takes, and which."""
    return {name: value for key, value in RECORD[engine.value]["arguments"].items() for name in key.split()}


def names(engine: ModelEngine) -> dict[str, list[str]]:
    """Each name that the engine knows, with all the names of the same argument."""
    return {name: key.split() for key in RECORD[engine.value]["arguments"] for name in key.split()}


@pytest.mark.parametrize(("engine", "case"), CASES)
def test_the_engine_takes_every_argument_with_as_many_values_and_no_other_choice(
    engine: ModelEngine, case: Mapping[str, Any]
) -> None:
    record, known = RECORD[engine.value], takes(engine)
    for name, values in options(engine, rendered(engine, case)).items():
        if name == "":
            # The model, which `vllm serve` has no name for, and the program that `python3` runs.
            assert engine in (ModelEngine.VLLM, ModelEngine.TRITON)
            assert len(values) == 1
            continue
        assert name in known, f"{name} is none of {engine.value} {record['version']}"
        assert name not in record["deprecated"]
        number, *choices = known[name]
        assert len(values) == number if isinstance(number, int) else values or number != "+", f"{name} {values}"
        assert not choices or set(values) <= set(choices), f"{name} {values}"


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_the_matrix_has_every_argument_that_the_engine_can_be_given(engine: ModelEngine) -> None:
    source = ast.parse(textwrap.dedent(inspect.getsource(ENGINES[engine].container)))
    said = {n.value for n in ast.walk(source) if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value[:2] == "--"}
    assert said == {name for case in MATRIX[engine] for name in options(engine, rendered(engine, case)) if name}


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_its_variables_are_those_that_it_reads(engine: ModelEngine) -> None:
    known = RECORD[engine.value]["environment"]
    assert known or engine is ModelEngine.TRITON
    for case in MATRIX[engine]:
        env = rendered(engine, case).env
        # An engine that reads a variable for each argument would be told twice.
        assert {name for name in env if name.startswith(PREFIX.get(engine, "-"))} <= set(known)


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_the_record_is_of_the_version_that_the_image_has(engine: ModelEngine) -> None:
    tag, version = ENGINES[engine].image.split(":")[1], RECORD[engine.value]["version"]
    if engine is ModelEngine.LLAMA_CPP:
        first, last = (int(build[1:]) for build in version.split())
        assert first <= int(tag.removeprefix("server-b")) <= last
    else:
        assert re.fullmatch(rf"v?{re.escape(version)}(-vllm-python-py3)?", tag)


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_what_the_component_sets_is_refused_of_the_user_under_every_name(engine: ModelEngine) -> None:
    own, known = ENGINES[engine].own_arguments, names(engine)
    given = {name for case in MATRIX[engine] for name in options(engine, rendered(engine, case)) if name}
    given -= DEFAULTS
    missing = {name for one in given | (own.keys() & known.keys()) for name in known[one]} - own.keys()
    assert not missing, "other names of what the component sets"
    assert not own.keys() - known.keys(), "no argument of this version"
    secret = {name for name in known if SECRET.fullmatch(name) and takes(engine)[name][0] != 0}
    assert secret <= own.keys(), "secrets on a command line"


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_no_argument_of_the_engine_is_taken_for_short_for_one_that_the_component_sets(engine: ModelEngine) -> None:
    own = ENGINES[engine].own_arguments
    begin_alike = [n for n in names(engine) if n[:2] == "--" and n not in own and any(o.startswith(n) for o in own)]
    assert begin_alike == list(ENGINES[engine].whole_names)


@pytest.mark.parametrize(("requests", "tokens"), [(2048, None), (2049, "8192"), (16384, "16384")])
def test_vllm_never_has_fewer_tokens_at_a_time_than_requests_which_it_refuses(requests: int, tokens: str | None) -> None:
    case = {**MANY, "parallel_requests": requests, "tokens_per_request": 16}
    given = options(ModelEngine.VLLM, rendered(ModelEngine.VLLM, case))
    assert given.get("--max-num-batched-tokens", [None]) == [tokens]


def test_triton_passes_vllm_only_fields_that_it_has() -> None:
    fields = set(RECORD["triton"]["engine_fields"])
    given: set[str] = set()
    for case in MATRIX[ModelEngine.TRITON]:
        files = json.loads(rendered(ModelEngine.TRITON, case).env["MODEL_REPOSITORY_FILES"])
        (model,) = [text for name, text in files.items() if name.endswith("model.json")]
        given |= json.loads(model).keys()
    assert {"model", "enable_lora", "kv_cache_dtype", "max_model_len"} <= given <= fields


PARSED = """
import json, sys
from tools.engine_arguments import parse_as_llama_server
for words in json.loads(sys.argv[1]):
    made = parse_as_llama_server(words)
    if made is None:
        print(None)
    else:
        server = [made.n_ctx, made.n_parallel, made.n_batch, made.port, sorted(made.model_alias)]
        print([*server, made.embedding, made.endpoint_metrics])
"""


def test_llama_server_itself_takes_them_and_makes_of_them_what_is_meant() -> None:
    cases: list[Mapping[str, Any]] = [{}, {"context_tokens": 8192, "parallel_requests": 16, **NAMED}, EMBEDDINGS]
    words = [list(rendered(ModelEngine.LLAMA_CPP, case).args) for case in cases]
    words.append([*words[0], "--nonsense"])
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PARSED, json.dumps(words)], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert [line for line in done.stdout.splitlines() if line[0] in "[N"] == [
        f"[8192, 2, 2048, 8000, ['{SMALL['model']}'], False, True]",
        "[131072, 16, 2048, 8000, ['llama'], False, True]",
        f"[1024, 2, 512, 8000, ['{SMALL['model']}'], True, True]",
        "None",
    ]
