"""What each vendor's answer costs its tenant: the budget, the limit of tokens and the metrics have it to the unit, by hand.

Answers are of the vendors' published shapes, and come through Anthropic's own SDK where that speaks to them.
"""

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, event
from tests.app.providers import fake_anthropic as claude
from tests.app.providers import fake_aws as aws
from tests.app.providers import fake_bedrock as bedrock
from tests.app.providers import fake_google
from tests.app.providers import fake_sagemaker as sage
from tests.app.providers.fake_google import Google
from tests.app.serving import Served, serving, upstream
from tests.app.tenancy.real_redis import until

KEY = "k" * 40
BEARER = {"authorization": f"Bearer {KEY}"}
PROMPT_UNITS, ANSWER_UNITS = 3_000_000, 15_000_000
"""Of 1e-12 dollars for each token, at $3 and $15 for 1,000,000."""
CACHED = (10 + 5 + 2, 7)
"""Tokens of prompt and answer of the fakes of Anthropic's models; what was read from a cache or written to it is prompt."""
TOLD = (fake.USAGE["prompt_tokens"], fake.USAGE["completion_tokens"])
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
LAST = b"data: " + json.dumps({"choices": [], "usage": fake.USAGE}).encode() + b"\n\n"
STREAMED = [event("a"), event("", "stop"), LAST, DONE]

Made = tuple[Behaviour, str, dict[str, Any]]
"""A fake, the path at which it is, and what the configuration says of it."""


@pytest.fixture
def vendors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    aws.be_somebody(monkeypatch)
    google = Google()

    def made(protocol: str, **claudes: Any) -> Made:
        openai = fake.stream(events=STREAMED)

        async def both(out: fake.Exit) -> None:
            await (openai if out.got.json.get("stream") else fake.whole(fake.completion("hello")))(out)

        match protocol:
            case "anthropic":
                return claude.api(**claudes), "/v1", {"model": claude.MODEL, "api_key_env": "CLAUDE_KEY"}
            case "vertex-anthropic":
                api = google.api(claude.api(refusal=claude.vertex_refusal, **claudes), path=None)
                return api, claude.VERTEX_PATH, {"model": claude.VERTEX_MODEL}
            case "bedrock":
                return bedrock.api(), "", {"model": bedrock.MODEL, "region": aws.REGION}
            case "vertex":
                return google.api(both), fake_google.PATH, {"model": "google/gemini"}
            case "sagemaker":
                parts = [sage.part(e) for e in STREAMED]
                return sage.api(streamed=parts), sage.ENDPOINT, {"model": "mock", "region": aws.REGION}
            case _:
                return both, "/v1", {"model": "mock"}

    @asynccontextmanager
    async def served(protocol: str, **claudes: Any) -> AsyncGenerator[Served]:
        behaviour, path, more = made(protocol, **claudes)
        async with upstream(behaviour) as up:
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(tmp_path, up.port))
            costs = {"input_cost_per_1m_tokens": 3, "output_cost_per_1m_tokens": 15}
            one = {"name": "one", "url": f"http://127.0.0.1:{up.port}{path}", "protocol": protocol, **costs, **more}
            key = {"name": "shop", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
            grant = {"monthly_budget": 100, "tokens_per_minute": 100_000}
            async with serving(one, keys=[{**key, **grant}], environ={"CLAUDE_KEY": claude.KEY}) as router:
                yield router

    return served


async def metrics(served: Served) -> dict[str, float]:
    lines = (await served.client.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


async def used(served: Served) -> int:
    """Tokens of its minute that the key has used, by what it is told: one more request, whose own are the estimate."""
    asked = {"model": "one", "max_tokens": 1, "messages": MESSAGES}
    answer = await served.client.post("/v1/chat/completions", json=asked, headers=BEARER)
    return 100_000 - int(answer.headers["x-ratelimit-remaining-tokens"]) - 2


@pytest.mark.parametrize("protocol", ["openai", "anthropic", "vertex-anthropic", "bedrock", "vertex", "sagemaker"])
async def test_budget_limit_and_metrics_have_what_the_answers_told(vendors: Any, protocol: str) -> None:
    tokens = CACHED if protocol in ("anthropic", "vertex-anthropic", "bedrock") else TOLD
    async with vendors(protocol) as served:
        for path in ("/v1/chat/completions", "/v1/messages"):
            for stream in (False, True):
                asked = {"model": "one", "max_tokens": 50, "messages": MESSAGES, "stream": stream}
                answer = await served.client.post(path, json=asked, headers=BEARER)
                assert answer.status_code == 200, answer.text
                await answer.aread()
        by_hand = 4 * (tokens[0] * PROMPT_UNITS + tokens[1] * ANSWER_UNITS)
        assert served.router.limits.spent("shop") == by_hand
        told = await metrics(served)
        of_key = {kind: told[f'slipway_router_key_tokens_total{{key="shop",kind="{kind}"}}'] for kind in ("prompt", "completion")}
        assert of_key == {"prompt": 4 * tokens[0], "completion": 4 * tokens[1]}
        assert told['slipway_router_key_cost_dollars_total{key="shop"}'] == pytest.approx(by_hand / 1e12, abs=1e-9)
        model = served.router.targets["one"].model
        cost = told[f'slipway_router_cost_dollars_total{{backend="one",model="{model}"}}']
        assert cost == pytest.approx(by_hand / 1e12, abs=1e-9)
        assert await used(served) == 4 * sum(tokens)


@pytest.mark.parametrize("protocol", ["anthropic", "vertex-anthropic", "bedrock", "openai"])
async def test_anthropics_sdk_is_booked_to_the_unit(vendors: Any, protocol: str) -> None:
    async with (
        vendors(protocol) as served,
        anthropic.AsyncAnthropic(base_url=served.url, api_key=KEY, max_retries=0) as client,
    ):
        told: list[Any] = [(await client.messages.create(model="one", max_tokens=50, messages=MESSAGES)).usage]
        async with client.messages.stream(model="one", max_tokens=50, messages=MESSAGES) as stream:
            told.append((await stream.get_final_message()).usage)
        by_hand = sum(
            (u.input_tokens + (u.cache_read_input_tokens or 0) + (u.cache_creation_input_tokens or 0)) * PROMPT_UNITS
            + u.output_tokens * ANSWER_UNITS
            for u in told
        )
        spent = served.router.limits.spent("shop")
    # What Converse and chat completions tell of a cache's writes no Messages answer of ours says: they are in its prompt.
    assert spent == by_hand
    assert spent > 0


@pytest.mark.parametrize("protocol", ["anthropic", "vertex-anthropic"])
@pytest.mark.parametrize(("cut_after", "answer"), [(3, 0), (5, 2), (7, 7)], ids=["before_a_word", "amid", "after_message_delta"])
async def test_a_messages_stream_that_breaks_off_is_owed_by_what_its_beginning_told(
    vendors: Any, protocol: str, cut_after: int, answer: int
) -> None:
    """The events are message_start, ping, content_block_start, two deltas, content_block_stop, message_delta, message_stop."""
    async with vendors(protocol, cut_after=cut_after) as served:
        asked = {"model": "one", "max_tokens": 50, "messages": MESSAGES, "stream": True}
        got = await served.client.post("/v1/messages", json=asked, headers=BEARER)
        assert b"event: error" in got.content
        assert served.router.limits.spent("shop") == CACHED[0] * PROMPT_UNITS + answer * ANSWER_UNITS


async def test_a_client_of_the_messages_api_that_hangs_up_owes_what_came_until_then(vendors: Any) -> None:
    words = claude.message(*(claude.text(f"hello {i}") for i in range(2_000)))
    async with vendors("anthropic", answer=words) as served:
        asked = {"model": "one", "max_tokens": 50, "messages": MESSAGES, "stream": True}
        async with served.client.stream("POST", "/v1/messages", json=asked, headers=BEARER) as got:
            async for _ in got.aiter_raw():
                break
        await until(lambda: not served.proxy.watches)
        answer = served.router.limits.spent("shop") - CACHED[0] * PROMPT_UNITS
    assert answer > 0
    assert answer % ANSWER_UNITS == 0
