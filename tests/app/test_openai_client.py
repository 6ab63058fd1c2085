"""OpenAI's own Python SDK as the client."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour
from tests.app.serving import backend, serving, upstream

EMBEDDING = (
    b'{"object":"list","model":"mock","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}],'
    b'"usage":{"prompt_tokens":2,"total_tokens":2}}'
)


@asynccontextmanager
async def sdk(behaviour: Behaviour, key: str = "unused", **settings: Any) -> AsyncGenerator[openai.AsyncOpenAI, None]:
    tasks = ["chat", "completions", "embeddings"]
    async with (
        upstream(behaviour) as up,
        serving(backend(up, tasks=tasks), **settings) as served,
        openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0) as client,
    ):
        yield client


async def test_chat() -> None:
    async with sdk(fake.whole(fake.completion("hello there"))) as client:
        answer = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "hello there"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 96


async def test_streamed_chat() -> None:
    async with sdk(fake.stream("hello", " there")) as client:
        stream = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}], stream=True)
        parts = [part.choices[0].delta.content async for part in stream]
    assert "".join(p or "" for p in parts) == "hello there"


async def test_completions_embeddings_and_models() -> None:
    async with sdk(fake.whole(fake.completion("once more"))) as client:
        assert (await client.completions.create(model="mock", prompt="once")).choices[0].text == "once more"
        assert [m.id async for m in client.models.list()] == ["auto", "one", "mock"]
        assert (await client.models.retrieve("mock")).owned_by == "one"
    async with sdk(fake.whole(EMBEDDING)) as client:
        answer = await client.embeddings.create(model="one", input="a", encoding_format="float")
    assert answer.data[0].embedding == [0.5, 0.25]


async def test_errors_are_the_sdks_own() -> None:
    keys = [{"name": "app", "env": "APP_KEY"}]
    async with sdk(fake.whole(), "wrong", keys=keys, environ={"APP_KEY": "right"}) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with sdk(fake.failing()) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.embeddings.create(model="gpt-5", input="a")
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match="at least one message"):
            await client.chat.completions.create(model="auto", messages=[])
        with pytest.raises(openai.InternalServerError, match="one answered 500"):
            await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])


async def test_a_broken_stream_is_an_error_in_the_sdk_and_not_a_short_answer() -> None:
    async with sdk(fake.cut_stream(fake.event("hello"), b'data: {"id":')) as client:
        stream = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}], stream=True)
        assert (await anext(stream)).choices[0].delta.content == "hello"
        with pytest.raises(openai.APIError, match="The stream broke off"):
            await anext(stream)
