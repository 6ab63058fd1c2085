"""Anthropic's SDK over llama.cpp itself, with the tiny model: it babbles, so what it says is not judged."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from tests.app.serving import backend, serving
from tests.infra.local.place import serving as llama_cpp

HELLO: Any = [{"role": "user", "content": "the harbour light"}]
SCHEMA: Any = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"], "additionalProperties": False}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("llama")
    with llama_cpp(directory / "log", "--tiny", str(directory / "tiny.gguf"), "--context-tokens", "2048") as (_, address):
        yield f"{address}/v1"


async def test_whole_and_streamed(llama: str) -> None:
    async with (
        serving(backend(llama)) as served,
        anthropic.AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0) as client,
    ):
        given: dict[str, Any] = {"model": "auto", "max_tokens": 6, "messages": HELLO, "system": "Talk of the sea."}
        create: Any = client.messages.create
        whole = [await create(**given) for _ in range(5)]
        async with client.messages.stream(**given) as stream:
            parts = [p async for p in stream.text_stream]
            streamed = await stream.get_final_message()
    answers: list[Any] = [*whole, streamed]
    for answer in answers:
        assert answer.content[0].type == "text"
        assert answer.content[0].text
        assert 1 <= answer.usage.output_tokens <= 6
        assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) > 5
        # What it says may come to its end with the last token that it may have.
        assert answer.stop_reason in (("max_tokens", "end_turn") if answer.usage.output_tokens == 6 else ("end_turn",))
    assert "".join(parts) == answers[-1].content[0].text
    assert "max_tokens" in {a.stop_reason for a in answers}


async def test_an_answer_keeps_to_its_schema(llama: str) -> None:
    async with (
        serving(backend(llama)) as served,
        anthropic.AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0) as client,
    ):
        create: Any = client.messages.create
        wanted = {"type": "json_schema", "schema": SCHEMA}
        answer = await create(model="auto", max_tokens=200, messages=HELLO, output_config={"format": wanted})
    assert isinstance(json.loads(answer.content[0].text)["sure"], bool)
