"""LocalModelServer: what is asked decides the command; and the whole of it once, as a process that answers."""

from typing import Any

import pulumi
import pytest
from openai import OpenAI
from tests.infra.local.place import Place, free_port

from slipway.local.model_server import LocalModel, LocalModelServer, LocalModelServerArgs
from slipway.plan import plan_program

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOWNLOAD = f"org/repo/x.gguf@{COMMIT}"


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"port": 0}, ["port"]),
        ({"model": "a.gguf", "download": DOWNLOAD}, ["download"]),
        ({"download": "org/repo/x.gguf@main"}, ["download"]),
        ({"context_tokens": 63, "parallel": 257}, ["context_tokens", "parallel"]),
        ({"start_timeout_seconds": 0}, ["start_timeout_seconds"]),
        ({"context_token": 1}, ["context_token"]),
        ({"parallel": "two"}, ["parallel"]),
    ],
)
def test_every_fault_is_told_by_its_path(wrong: Any, paths: list[str]) -> None:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        LocalModel.of("llama", wrong)
    assert [f["property_path"] for f in refused.value.errors or []] == [f"args.{path}" for path in paths]


def test_a_name_that_no_backend_can_have_is_refused() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"args.name: is 'Llama_1'; give lower case letters"):
        LocalModel.of("Llama_1", {})


@pytest.mark.parametrize(
    ("args", "source", "seconds"),
    [
        ({}, ["--tiny", "{dir}/tiny.gguf"], 60.0),
        ({"model": "a.gguf"}, ["--model", "a.gguf"], 600.0),
        ({"download": DOWNLOAD, "cache_dir": "c"}, ["--download", DOWNLOAD, "--cache", "c"], 3600.0),
        ({"model": "a.gguf", "start_timeout_seconds": 5}, ["--model", "a.gguf"], 5),
    ],
)
def test_the_model_asked_for_is_the_one_served(args: LocalModelServerArgs, source: list[str], seconds: float) -> None:
    plan = plan_program(lambda: LocalModelServer("llama", args), stack="local")
    process = plan["llama-server"]
    assert process.parent == plan["llama"].urn
    command = ["{python}", "-m", "slipway.local.llama_server", *source, "--host", "127.0.0.1", "--port", "8001"]
    assert process.inputs["command"] == [*command, "--alias", "llama", "--context-tokens", "2048", "--parallel", "2"]
    assert process.inputs["port"] == 8001
    assert process.inputs["health"] == {"url": "http://127.0.0.1:8001/health", "timeout_seconds": seconds}
    assert ("HF_TOKEN" in process.inputs.get("pass_environment", [])) == ("download" in args)


def test_its_address_and_whether_it_babbles_are_known_in_a_plan() -> None:
    def program() -> None:
        for name, args in {"tiny": LocalModelServerArgs(port=8101), "own": LocalModelServerArgs(model="a.gguf")}.items():
            server = LocalModelServer(name, args)
            pulumi.export(name, [server.url, server.babbles])

    assert plan_program(program).outputs == {
        "tiny": ["http://127.0.0.1:8101/v1", True],
        "own": ["http://127.0.0.1:8001/v1", False],
    }


def test_as_a_backend_it_says_what_it_is_and_the_users_word_wins() -> None:
    made: list[Any] = []

    def program() -> None:
        made.append(LocalModelServer("tiny", {"embeddings": True, "context_tokens": 512}).backend())
        made.append(LocalModelServer("own", {"model": "a.gguf", "port": 8102}).backend(name="main", quality="high"))

    plan_program(program)
    assert made[0] == {
        "name": "tiny",
        "url": "http://127.0.0.1:8001/v1",
        "model": "tiny",
        "tasks": ["chat", "completions", "embeddings"],
        "self_hosted": True,
        "quality": "low",
        "context_tokens": 512,
        "resource": "tiny",
    }
    assert {k: made[1][k] for k in ("name", "model", "resource", "quality")} == {
        "name": "main",
        "model": "own",
        "resource": "own",
        "quality": "high",
    }


def test_what_is_planned_runs_and_answers(place: Place) -> None:
    port = free_port()
    plan = plan_program(lambda: LocalModelServer("llama", {"port": port, "embeddings": True}), stack="test")
    checked = place.provider.check({}, dict(plan["llama-server"].inputs))
    assert checked.failures == []
    made = place.provider.create(checked.inputs)
    assert made.outs is not None
    with OpenAI(base_url=f"{made.outs['url']}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(model="llama", messages=[{"role": "user", "content": "the"}], max_tokens=5)
        assert answer.choices[0].message.content
        assert client.embeddings.create(model="llama", input="the", encoding_format="float").data[0].embedding
    place.provider.delete(made.id, made.outs)
    assert place.alive() == []
    assert "It babbles" in (place.home("llama-server") / "output.log").read_text()
