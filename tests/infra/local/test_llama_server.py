"""llama.cpp's own server with the tiny model, as a process of its own; and every way in which it cannot be had."""

import json
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from tests.infra.local.place import free_port, serving

from slipway.local.llama_server import main
from slipway.local.tiny_model import CALL, WORDS, vocabulary, write_tiny_model

IGNORE_END = {"ignore_eos": True}
"""llama.cpp's own setting: an answer has as many tokens as were asked for."""
END = 2
"""The token that ends an answer."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the tests that only ask."""
    directory = tmp_path_factory.mktemp("llama")
    tiny = str(directory / "tiny.gguf")
    with serving(directory / "log", "--tiny", tiny, "--context-tokens", "512", "--embeddings") as (_, address):
        yield address


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


def test_a_chat_is_answered_in_words(client: OpenAI) -> None:
    question: Any = [{"role": "system", "content": "Täglich ☃"}, {"role": "user", "content": "the harbour light"}]
    answer = client.chat.completions.create(model="tiny", messages=question, max_tokens=30, extra_body=IGNORE_END)
    said = answer.choices[0].message.content or ""
    assert set(said.replace(".", " ").replace(",", " ").split()) <= set(WORDS)
    assert answer.usage is not None
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 30)


def test_an_answer_ends_by_itself_but_is_never_empty(client: OpenAI) -> None:
    question: Any = [{"role": "user", "content": "and then"}]
    likeliest = len(WORDS) + 3
    answer = client.chat.completions.create(
        model="tiny", messages=question, max_tokens=5, logprobs=True, top_logprobs=likeliest, extra_body=IGNORE_END
    )
    assert answer.choices[0].logprobs is not None
    said: Any = answer.choices[0].logprobs.content
    ends = [END in [choice.id for choice in position.top_logprobs] for position in said]
    # `ignore_eos` acts after these probabilities are taken.
    assert ends == [False, True, True, True, True]


def test_a_streamed_chat_comes_word_by_word_and_equals_the_whole(client: OpenAI) -> None:
    question: Any = [{"role": "user", "content": "the tide"}]
    settings: Any = {"model": "tiny", "messages": question, "max_tokens": 12, "temperature": 0, "extra_body": IGNORE_END}
    create: Any = client.chat.completions.create
    whole = create(**settings)
    with create(**settings, stream=True, stream_options={"include_usage": True}) as stream:
        chunks: list[Any] = list(stream)
    parts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(parts) == 12
    assert "".join(parts) == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == 12


def test_a_tool_is_called_where_the_model_is_pushed_to(client: OpenAI) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo"]}}, "required": ["city"]}
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    push = {str([text for text, *_ in vocabulary()].index(CALL)): 60, str(END): 90}
    question: Any = [{"role": "user", "content": "the wind"}]
    create: Any = client.chat.completions.create
    asked: dict[str, Any] = {"model": "tiny", "messages": question, "tools": [tool], "tool_choice": "required", "max_tokens": 200}
    (choice,) = create(**asked, logit_bias=push, parallel_tool_calls=False).choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def test_known_words_are_one_token_each(client: OpenAI) -> None:
    asked = client.completions.create(model="tiny", prompt="the hull and the keel", max_tokens=1)
    assert asked.usage is not None
    # The beginning-of-text token is the sixth.
    assert asked.usage.prompt_tokens == 6


def test_models_health_and_embeddings(client: OpenAI, url: str) -> None:
    assert [m.id for m in client.models.list()] == ["tiny"]
    with urllib.request.urlopen(f"{url}/health") as answer:
        assert json.load(answer) == {"status": "ok"}
    vectors = client.embeddings.create(model="tiny", input=["the hull", "the tide " * 100], encoding_format="float").data
    assert [len(v.embedding) for v in vectors] == [64, 64]
    assert vectors[0].embedding != vectors[1].embedding


def test_each_request_has_the_whole_context(client: OpenAI) -> None:
    long: Any = [{"role": "user", "content": "the " * 480}]
    assert client.chat.completions.create(model="tiny", messages=long, max_tokens=5).usage
    with pytest.raises(BadRequestError, match="exceeds the available context size"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "the " * 600}])


def test_web_pages_are_not_allowed_in_and_prompts_of_others_not_shown(url: str) -> None:
    request = urllib.request.Request(f"{url}/v1/models", headers={"Origin": "http://elsewhere.example"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] not in ("*", "http://elsewhere.example")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/slots")
    refused.value.close()
    assert refused.value.code >= 400


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_even_in_the_middle_of_a_stream(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "log", "--tiny", "tiny.gguf", "--context-tokens", "32768") as (server, url):
        body = {"prompt": "the", "stream": True, "max_tokens": 30000, "ignore_eos": True}
        request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as stream:
            assert stream.readline().startswith(b"data: ")
            began = time.monotonic()
            server.send_signal(number)
            assert server.wait(timeout=10) == 0
            assert time.monotonic() - began < 5
    said = (tmp_path / "log").read_text()
    assert "It babbles" in said
    assert f"ending on {number.name}" in said


def absent(path: Path) -> list[str]:
    return ["--model", str(path)]


def directory(path: Path) -> list[str]:
    return ["--model", str(path.parent)]


def broken(path: Path) -> list[str]:
    path.write_bytes(b"GGUF" + b"\0" * 100)
    return ["--model", str(path)]


def not_a_model(path: Path) -> list[str]:
    path.write_text("not a model")
    return ["--model", str(path)]


def unwritable(path: Path) -> list[str]:
    path.write_text("")
    return ["--tiny", str(path / "below")]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (absent, "the model .* cannot be read: No such file or directory"),
        (directory, "the model .* cannot be read: Is a directory"),
        (not_a_model, "the model .* is no GGUF file"),
        (broken, "llama.cpp cannot serve .*; what it said is above"),
        (unwritable, "the model .* cannot be written"),
    ],
)
def test_a_model_that_cannot_be_is_one_line(
    tmp_path: Path, arguments: Callable[[Path], list[str]], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        assert main(["--port", str(free_port()), "--alias", "x", *arguments(tmp_path / "file.gguf")]) == 1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    lines = [line for line in capfd.readouterr().out.splitlines() if "error:" in line and line.startswith("slipway.local")]
    assert len(lines) == 1
    assert re.search(error, lines[0])


def test_a_taken_port_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--alias", "x", "--tiny", str(tmp_path / "tiny.gguf")]) == 1
    assert f"error: port {port} on 127.0.0.1 cannot be had (Address already in use: " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("xllamacpp", ["--model", "tiny.gguf"]),
        ("gguf", ["--tiny", "other.gguf"]),
        ("huggingface_hub", ["--download", f"org/repo/x.gguf@{COMMIT}"]),
    ],
)
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], package: str, source: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_model(tmp_path / "tiny.gguf")
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["--port", str(free_port()), "--alias", "x", *source]) == 1
    assert (
        f"the Python package '{package}' is not installed; it comes with: pip install 'slipway[local]'" in capfd.readouterr().out
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--host", "0.0.0.0"], "can be reached from elsewhere"),
        (["--port", "0"], "give 1 to 65535"),
        (["--parallel", "0"], "give 1 to 256"),
        (["--context-tokens", "1e3"], "give 64 to 1048576"),
        (["--model", "x"], "not allowed with"),
        (["--download", "org/repo/x.gguf@main"], "a branch or a tag moves"),
    ],
)
def test_wrong_arguments_are_told(wrong: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = [] if "--download" in wrong else ["--tiny", "x"]
    with pytest.raises(SystemExit) as ended:
        main([*source, "--port", "8000", "--alias", "x", *wrong])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
