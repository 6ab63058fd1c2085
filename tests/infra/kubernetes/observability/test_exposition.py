"""Every metric of an engine or of a GPU that a scaler, a rule or a panel names is one that it tells, of the right type and with
those labels.

What they tell was recorded from their own code; the first lines of each file of `expositions` say how. Engines on GPUs do not run
here: that a loaded one tells the same is not shown.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.infra.kubernetes.observability.services import SCALING, STORE, TRAINING, WORKERS, gpus, model, rule_faults

from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.model_engine import ModelEngine
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panels import panels
from slipway.kubernetes.observability.rules import rule_groups
from slipway.kubernetes.observability.watched import Watched

FOLDER = Path(__file__).parent / "expositions"
BY_PROMETHEUS = {"namespace", "pod", "service", "node"}
"""Labels that come with the reading."""
PROMISE = Promise()


def scaled(engine: ModelEngine) -> Watched:
    """A server of this engine that scales on all that it can."""
    metrics = ENGINES[engine].metrics
    scaling: dict[str, Any] = {**SCALING, "running_requests": 100}
    if metrics.kv_cache_usage:
        scaling["kv_cache_percent"] = 80
    more: dict[str, Any] = {"engine": engine, "scaling": scaling}
    if engine is ModelEngine.LLAMA_CPP:
        gguf = {"file": "m.gguf", "bytes": 4 * 2**30}
        return model(**more, gguf=gguf, accelerator=None)
    return model(**more)


@cache
def told(name: str) -> Mapping[str, tuple[str, frozenset[str]]]:
    """By name of a series its type, and its labels."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    kind = ""
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("# TYPE"):
            kind = line.split()[3]
        elif not line.startswith("#"):
            series, _, labels = line.rpartition(" ")[0].partition("{")
            found[series] = (kind, frozenset(re.findall(r'(\w+)="', labels)))
    return found


def asked(service: Watched, beside: list[Watched]) -> str:
    """All that is asked about a service, by rules, panels and its scaler."""
    rules = [rule["expr"] for group in rule_groups([service, *beside], PROMISE, "") for rule in group["rules"]]
    shown = [question.expr for panel in panels(service, PROMISE) for question in panel.questions]
    return "\n".join([*rules, *shown, *(load.query for load in service.loads)])


def faults(questions: str, known: Mapping[str, tuple[str, frozenset[str]]]) -> list[str]:
    """What of the questions nobody could answer."""
    wrong: list[str] = []
    for rate, name, which in set(re.findall(r"(\b(?:rate|increase)\()?([A-Za-z_:][\w:]*)\{([^}]*)\}", questions)):
        if name == "up":
            continue
        if name not in known:
            wrong.append(f"{name} is not told")
            continue
        kind, labels = known[name]
        if bool(rate) == (kind == "gauge"):
            wrong.append(f"{name} is a {kind}")
        wrong += [f"{name} has no label {key}" for key in set(re.findall(r"(\w+)[=!]", which)) - labels - BY_PROMETHEUS]
    return wrong


@pytest.mark.parametrize("engine", list(ModelEngine))
def test_what_is_asked_about_an_engine_is_what_it_tells(engine: ModelEngine) -> None:
    questions = asked(scaled(engine), [])
    metrics = ENGINES[engine].metrics
    named = {metrics.waiting_requests, metrics.kv_cache_usage, metrics.running_requests, metrics.busy_seconds, metrics.from_start}
    assert all(name in questions for name in named if name)
    assert faults(questions, told(engine.value)) == []


def test_what_is_asked_about_gpus_is_what_their_exporter_tells() -> None:
    both = {**told("vllm"), **told("dcgm")}
    questions = asked(gpus(), [model(scaling=SCALING)])
    assert questions.count("DCGM_") > 10
    assert faults(questions, both) == []


def test_what_is_asked_about_objects_is_what_kubernetes_tells() -> None:
    groups = rule_groups([], PROMISE, "", [STORE, WORKERS, TRAINING])
    questions = "\n".join(rule["expr"] for group in groups for rule in group["rules"])
    assert len(groups) == 3
    assert faults(questions, told("kube-state-metrics")) == []


@pytest.mark.parametrize(
    ("question", "wrong"),
    [
        ("sum(vllm:gpu_cache_usage_perc{pod=~'x'})", "vllm:gpu_cache_usage_perc is not told"),
        ("sum(rate(vllm:num_requests_waiting{}[1m]))", "vllm:num_requests_waiting is a gauge"),
        ("sum(vllm:prompt_tokens_total{})", "vllm:prompt_tokens_total is a counter"),
        ("vllm:num_requests_waiting{model='x'}", "vllm:num_requests_waiting has no label model"),
    ],
)
def test_what_nobody_tells_would_be_found(question: str, wrong: str) -> None:
    assert faults(question, told("vllm")) == [wrong]


def test_before_the_first_request_a_scaler_reads_nothing_waiting_and_not_nothing() -> None:
    """Of what Text Generation Inference tells then, which is its batch size alone."""
    tgi = scaled(ModelEngine.TGI)
    series = [{"series": 'tgi_batch_max_total_tokens{namespace="ai",pod="llama-server-0"}', "values": "8192x10"}]
    answers = [{"expr": load.query, "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": 0}]} for load in tgi.loads]
    assert len(answers) == 2
    assert rule_faults([tgi], PROMISE, [{"interval": "1m", "input_series": series, "promql_expr_test": answers}]) == ""
    down = [{**answer, "exp_samples": list[Any]()} for answer in answers]
    assert rule_faults([tgi], PROMISE, [{"interval": "1m", "promql_expr_test": down}]) == ""


def test_every_file_says_what_it_was_recorded_from() -> None:
    files = {file.stem: file.read_text() for file in FOLDER.iterdir()}
    assert files.keys() == {engine.value for engine in ModelEngine} | {"dcgm", "kube-state-metrics"}
    assert all(re.match(r"# .+\d", text) for text in files.values()), json.dumps(sorted(files))
