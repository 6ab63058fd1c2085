"""Tokens that answers tell of themselves, whole and streamed, in the metrics."""

import json
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, USAGE, Behaviour, event
from tests.app.providers import fake_anthropic as claude
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.usage import tokens_in

LAST = b"data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode() + b"\n\n"
IN_FINISH = event("", "stop").removesuffix(b"}\n\n") + b', "usage": ' + json.dumps(USAGE).encode() + b"}\n\n"
SPOKEN = event('"usage": {"prompt_tokens": 5000}')


async def counted(served: Served, name: str = "one") -> tuple[int, int]:
    model = served.router.targets[name].model
    text = (await served.client.get("/metrics")).text
    found = {line.split(" ")[0]: int(float(line.split(" ")[1])) for line in text.splitlines() if not line.startswith("#")}
    prompt, answer = (
        f'slipway_router_tokens_total{{backend="{name}",kind="{k}",model="{model}"}}' for k in ("prompt", "completion")
    )
    return found[prompt], found[answer]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("events", "tokens"),
    [
        ([event("a"), event("", "stop"), LAST, DONE], (32, 64)),
        ([event("a") + event("", "stop") + LAST + DONE], (32, 64)),
        (pieces(event("a") + event("", "stop") + LAST + DONE, 7), (32, 64)),
        ([event("a"), IN_FINISH, DONE], (32, 64)),
        ([event("a"), event("", "stop") + LAST], (32, 64)),
        ([event("a"), event("", "stop"), (LAST + DONE).replace(b"\n", b"\r\n")], (32, 64)),
        ([event("a"), SPOKEN, event("", "stop"), DONE], (0, 0)),
        ([SPOKEN + event("", "stop") + DONE], (0, 0)),
    ],
    ids=["apart", "at_once", "torn", "in_finish", "no_done", "crlf", "spoken_of", "spoken_of_at_once"],
)
async def test_a_streams_usage_is_counted(events: list[bytes], tokens: tuple[int, int]) -> None:
    async with upstream(fake.stream(events=events)) as up, serving(backend(up)) as served:
        answer = await served.chat(stream=True)
        assert answer.content == b"".join(events)
        assert await counted(served) == tokens


async def test_a_stream_that_breaks_off_counts_for_nothing() -> None:
    async with upstream(fake.cut_stream(event("a"), event("", "stop"))) as up, serving(backend(up)) as served:
        await served.chat(stream=True)
        assert await counted(served) == (0, 0)


@pytest.mark.parametrize("usage", [b"{}", b'{"input_tokens": 3, "output_tokens": 5}', b'{"total_tokens": 8}'])
def test_a_usage_of_another_kind_is_none_rather_than_nothing(usage: bytes) -> None:
    """Taken for no tokens it would make the answer free."""
    assert tokens_in(b'{"choices": [], "usage": ' + usage + b"}") is None


MESSAGES: dict[str, Any] = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_what_anthropic_tells_is_counted_whoever_asks(path: str, *, stream: bool) -> None:
    at = {"protocol": "anthropic", "api_key_env": "KEY", "model": claude.MODEL, "self_hosted": False}
    async with upstream(claude.api()) as up, serving({**backend(up, "claude"), **at}, environ={"KEY": claude.KEY}) as served:
        answer = await served.client.post(path, json={**MESSAGES, "stream": stream})
        assert answer.status_code == 200
        # Nobody asked for it.
        assert (b"prompt_tokens" in answer.content) == (path == "/v1/chat/completions" and not stream)
        assert await counted(served, "claude") == (17, 7)


@pytest.mark.parametrize("behaviour", [fake.stream(events=[event("a"), event("", "stop"), LAST, DONE])])
async def test_a_messages_client_over_openais_api_is_counted(behaviour: Behaviour) -> None:
    async with upstream(behaviour) as up, serving(backend(up)) as served:
        await served.client.post("/v1/messages", json={**MESSAGES, "model": "one", "stream": True})
        assert await counted(served) == (32, 64)
