"""`POST /v1/ensemble` over HTTP: every aggregate, what fails, what is slow, who is given up, and what is refused."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, FakeUpstream
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.config import Config, ConfigError

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def says(text: str) -> Behaviour:
    return fake.whole(fake.completion(text))


@asynccontextmanager
async def three(
    a: Behaviour, b: Behaviour, c: Behaviour, **settings: Any
) -> AsyncGenerator[tuple[Served, list[FakeUpstream]], None]:
    """Three models, each at a backend of its own."""
    async with contextlib.AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(upstream(behaviour)) for behaviour in (a, b, c)]
        entries = [backend(up, name, model=f"m-{name}") for up, name in zip(ups, "abc", strict=True)]
        served = await stack.enter_async_context(serving(*entries, retries={"rounds": 0}, **settings))
        yield served, ups


async def ask(served: Served, aggregate: str, headers: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"messages": MESSAGES, "ensemble": {"models": ["a", "b", "c"], "aggregate": aggregate, **more}}
    return await served.client.post("/v1/ensemble", json=body, headers=headers)


def content(answer: httpx.Response) -> list[str]:
    return [c["message"]["content"] for c in answer.json()["choices"]]


def statuses(answer: httpx.Response) -> list[str]:
    return [b["status"] for b in answer.json()["ensemble"]["branches"]]


async def test_all_answers_are_choices_and_usage_is_summed() -> None:
    async with three(says("x"), says("y"), says("z")) as (served, ups):
        body = {
            "model": "not looked at",
            "messages": MESSAGES,
            "temperature": 0.5,
            "ensemble": {"models": ["a", {"model": "m-b"}, "c"], "aggregate": "all"},
        }
        headers = {"x-request-id": "r1", "traceparent": "00-1-2-01"}
        answer = await served.client.post("/v1/ensemble", json=body, headers=headers)
        metrics = (await served.client.get("/metrics")).text
        assert served.router.branches == 0
    told = answer.json()
    assert answer.status_code == 200
    assert content(answer) == ["x", "y", "z"]
    assert [c["index"] for c in told["choices"]] == [0, 1, 2]
    assert (told["object"], told["id"], told["model"]) == ("chat.completion", "ensemble-r1", "mock")
    assert told["usage"] == {k: 3 * v for k, v in fake.USAGE.items()}
    branch = told["ensemble"]["branches"][1]
    assert {k: branch[k] for k in ("model", "backend", "status", "code", "attempts", "finish_reason", "usage", "error")} == {
        "model": "m-b",
        "backend": "b",
        "status": "answered",
        "code": 200,
        "attempts": 1,
        "finish_reason": "stop",
        "usage": fake.USAGE,
        "error": None,
    }
    assert ups[1].posts[0].json == {"model": "m-b", "messages": MESSAGES, "temperature": 0.5}
    assert (ups[0].posts[0].headers["x-request-id"], ups[2].posts[0].headers["x-request-id"]) == ("r1-1", "r1-3")
    assert ups[0].posts[0].headers["traceparent"] == "00-1-2-01"
    assert (answer.headers["x-slipway-rule"], answer.headers["x-slipway-attempts"]) == ("ensemble", "3")
    for line in (
        'slipway_router_requests_total{backend="b",code="200",model="m-b",task="chat"} 1.0',
        'slipway_router_ensembles_total{aggregate="all",code="200"} 1.0',
        'slipway_router_ensemble_branches_total{status="answered"} 3.0',
        'slipway_router_key_requests_total{key="anonymous"} 1.0',
    ):
        assert line in metrics.splitlines()


async def test_the_first_answer_wins_and_the_others_are_given_up() -> None:
    async with three(fake.hang, says("quick"), fake.hang) as (served, ups):
        answer = await ask(served, "first")
        await asyncio.wait_for(ups[0].gone.wait(), 2)
        await asyncio.wait_for(ups[2].gone.wait(), 2)
        assert [t.in_flight for t in served.router.targets.values()] == [0, 0, 0]
        assert [t.status.error_rate for t in served.router.targets.values()] == [0, 0, 0]
    assert content(answer) == ["quick"]
    assert statuses(answer) == ["cancelled", "answered", "cancelled"]
    assert answer.json()["ensemble"]["chosen"] == 1
    assert answer.headers["x-slipway-backend"] == "b"


async def test_the_first_is_a_good_one() -> None:
    async with three(fake.failing(), fake.whole(b"<html>"), says("well")) as (served, _):
        answer = await ask(served, "first")
    assert content(answer) == ["well"]


async def test_the_majority_wins_and_is_not_waited_past() -> None:
    async with three(says("Lyon"), says("Paris"), says(" paris.")) as (served, ups):
        answer = await ask(served, "majority")
        ups[0].behaviour = fake.hang
        early = await ask(served, "majority")
    assert (content(answer), answer.json()["ensemble"]["chosen"], answer.json()["ensemble"]["agreed"]) == (["Paris"], 1, 2)
    assert (content(early), statuses(early)) == (["Paris"], ["cancelled", "answered", "answered"])


async def test_one_model_several_times_votes_with_itself() -> None:
    async with three(says("x"), says("x"), says("x")) as (served, ups):
        answer = await ask(served, "majority", models=["a", "a", "a"], min_answers=3)
    assert statuses(answer) == ["answered"] * 3
    assert len(ups[0].posts) == 3


async def test_the_longest() -> None:
    async with three(says("a"), says("a longer answer"), says("b")) as (served, _):
        answer = await ask(served, "longest")
    assert (content(answer), answer.json()["ensemble"]["chosen"]) == (["a longer answer"], 1)


def judge(pick: str) -> Behaviour:
    """Chooses the answer with this text, by the number that it has in the question."""

    async def behave(out: fake.Exit) -> None:
        [system, user] = out.got.json["messages"]
        assert "judge" in system["content"]
        numbers = {text: n for n, text in json.loads(user["content"])["answers"].items()}
        await says(f'{{"best": {numbers[pick]}}}')(out)

    return behave


async def test_a_judge_chooses() -> None:
    async with three(says("Paris"), says("Lyon"), judge("Lyon")) as (served, ups):
        asked: dict[str, Any] = {"models": ["a", "b"], "judge": {"model": "c", "instructions": "Be wrong."}}
        # In whatever order it reads them.
        answers = [await ask(served, "judge", **asked) for _ in range(4)]
        metrics = (await served.client.get("/metrics")).text
    for answer in answers:
        assert (content(answer), answer.json()["ensemble"]["chosen"]) == (["Lyon"], 1)
    told = answers[0].json()
    assert (told["ensemble"]["judge"]["status"], told["ensemble"]["judge"]["backend"]) == ("chose", "c")
    assert told["usage"]["total_tokens"] == 3 * fake.USAGE["total_tokens"]
    assert answers[0].headers["x-slipway-attempts"] == "3"
    assert "Be wrong." in ups[2].posts[0].json["messages"][0]["content"]
    assert ups[2].posts[0].json["model"] == "m-c"
    assert 'slipway_router_ensemble_judges_total{outcome="chose"} 4.0' in metrics


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (says("I like them all."), "unclear"),
        (says('{"best": 9}'), "unclear"),
        (fake.failing(), "failed"),
        (fake.whole(b"{}"), "failed"),
        (fake.hang, "failed"),
    ],
)
async def test_where_a_judge_does_not_choose_the_majority_does(behaviour: Behaviour, status: str) -> None:
    async with three(says("Lyon"), says("Paris"), behaviour) as (served, _):
        answer = await ask(served, "judge", models=["a", "b", "b"], judge={"model": "c", "deadline_seconds": 0.3})
    told = answer.json()["ensemble"]
    assert (content(answer), told["chosen"], told["agreed"], told["judge"]["status"]) == (["Paris"], 1, 2, status)


async def test_one_answer_needs_no_judge() -> None:
    async with three(says("Paris"), fake.failing(), fake.hang) as (served, ups):
        answer = await ask(served, "judge", models=["a", "b"], judge="c")
    assert (content(answer), answer.json()["ensemble"]["judge"]) == (["Paris"], {"model": "c", "status": "not_asked"})
    assert ups[2].posts == []


MISTAKE = fake.whole(
    b'{"error":{"message":"too hot","type":"invalid_request_error","param":null,"code":null}}', "400 Bad Request"
)


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "said"),
    [
        (fake.failing(), "failed", 502, "answered 500"),
        (fake.reset, "failed", 502, "closed the connection"),
        (fake.garbage, "failed", 502, "malformed HTTP"),
        (fake.whole(b"<html>"), "failed", 502, "no JSON object"),
        (fake.whole(b"{}"), "failed", 502, "no chat completion"),
        (fake.whole(b'{"choices":[{"text":"x"}]}'), "failed", 502, "no chat completion"),
        (fake.whole(b"{nonsense}"), "failed", 502, "no chat completion"),
        (fake.stream("a"), "failed", 502, "no chat completion"),
        (fake.failing("429 Too Many Requests"), "failed", 429, "429"),
        (MISTAKE, "failed", 400, "too hot"),
        (fake.hang, "timed_out", None, "did not answer within 0.4 s"),
    ],
)
async def test_a_branch_that_fails_is_told_and_the_others_answer(
    behaviour: Behaviour, status: str, code: int | None, said: str
) -> None:
    async with three(says("x"), behaviour, says("z")) as (served, _):
        answer = await ask(served, "all", models=["a", {"model": "b", "deadline_seconds": 0.4}, "c"])
    assert content(answer) == ["x", "z"]
    assert statuses(answer) == ["answered", status, "answered"]
    branch = answer.json()["ensemble"]["branches"][1]
    assert branch["code"] == code
    assert said in branch["error"]["message"]
    assert answer.json()["usage"]["total_tokens"] == 2 * fake.USAGE["total_tokens"]


@pytest.mark.parametrize(
    ("behaviours", "more", "status", "said"),
    [
        ((fake.failing(), fake.reset, fake.failing()), {}, 502, "0 of 3 models answered, 1 must: 'a' no backend could answer"),
        ((says("x"), fake.failing(), says("x")), {"min_answers": 3}, 502, "2 of 3 models answered, 3 must: 'b'"),
        ((fake.hang,) * 3, {"deadline_seconds": 0.2}, 504, "'c' did not answer within 0.2 s"),
        ((MISTAKE,) * 3, {}, 400, "'a' too hot"),
        ((fake.failing("429 Too Many Requests"),) * 3, {}, 429, "429"),
        ((fake.failing("429 Too Many Requests"), MISTAKE, fake.reset), {}, 502, "'b' too hot"),
    ],
)
async def test_too_few_answers_are_an_error(
    behaviours: tuple[Behaviour, Behaviour, Behaviour], more: dict[str, Any], status: int, said: str
) -> None:
    async with three(*behaviours) as (served, _):
        answer = await ask(served, "all", **more)
        metrics = (await served.client.get("/metrics")).text
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, "ensemble_failed")
    assert said in error["message"]
    assert f'slipway_router_ensembles_total{{aggregate="all",code="{status}"}} 1.0' in metrics


async def test_who_is_only_busy_says_when_to_come_back() -> None:
    busy = [fake.failing("429 Too Many Requests", f"Retry-After: {n}") for n in (30, 20, 40)]
    async with three(*busy) as (served, _):
        limited = await ask(served, "first")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "20")
    assert limited.json()["error"]["type"] == "rate_limit_error"


async def test_a_branch_fails_over_like_any_request() -> None:
    async with (
        upstream(fake.failing()) as broken,
        upstream(says("well")) as well,
        serving(backend(broken, "a", serves=["fast"]), backend(well, "b", serves=["fast"])) as served,
    ):
        answer = await ask(served, "first", models=["fast"])
    branch = answer.json()["ensemble"]["branches"][0]
    assert (branch["backend"], branch["attempts"], content(answer)) == ("b", 2, ["well"])


async def test_a_branch_whose_model_cannot_do_it_fails_alone() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with (
        upstream(says("x")) as one,
        upstream(says("y")) as two,
        serving(backend(one, "a", model="m-a", abilities=[]), backend(two, "b", model="m-b")) as served,
    ):
        body = {"messages": MESSAGES, "tools": tools, "ensemble": {"models": ["a", "b"], "aggregate": "all"}}
        answer = await served.client.post("/v1/ensemble", json=body)
    assert statuses(answer) == ["failed", "answered"]
    assert answer.json()["ensemble"]["branches"][0]["error"]["code"] == "unsupported"


async def test_a_client_that_leaves_takes_all_branches_along() -> None:
    async with three(fake.hang, fake.hang, fake.hang) as (served, ups):
        waiting = asyncio.create_task(ask(served, "all"))
        for up in ups:
            await up.asked()
        waiting.cancel()
        for up in ups:
            await asyncio.wait_for(up.gone.wait(), 5)
        for _ in range(200):
            if not served.proxy.watches:
                break
            await asyncio.sleep(0.01)
        metrics = (await served.client.get("/metrics")).text
        assert (served.proxy.watches, served.router.branches) == (set(), 0)
        assert [t.in_flight for t in served.router.targets.values()] == [0, 0, 0]
    assert 'slipway_router_ensembles_total{aggregate="all",code="499"} 1.0' in metrics


async def test_a_stop_ends_an_ensemble_with_503() -> None:
    async with three(fake.hang, fake.hang, fake.hang) as (served, ups):
        waiting = asyncio.create_task(ask(served, "all"))
        for up in ups:
            await up.asked()
        served.proxy.stop()
        answer = await waiting
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")


async def test_every_branch_counts_for_admission() -> None:
    limits = {"max_in_flight": 4, "shares": {"free": 1.0}}
    async with three(fake.hang, fake.hang, fake.hang, admission=limits) as (served, ups):
        waiting = asyncio.create_task(ask(served, "all"))
        for up in ups:
            await up.asked()
        assert served.router.branches == 2
        refused = await ask(served, "all", models=["a", "b"])
        for up in ups:
            up.behaviour = says("x")
        one = await served.chat(model="a")
        waiting.cancel()
        for up in ups:
            await asyncio.wait_for(up.gone.wait(), 5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert one.status_code == 200


async def test_keys_are_wanted() -> None:
    keys = {"keys": [{"name": "k", "env": "K"}], "environ": {"K": "secret"}}
    async with three(says("x"), says("x"), says("x"), **keys) as (served, _):
        refused = await ask(served, "first")
        answer = await ask(served, "first", {"authorization": "Bearer secret"})
    assert (refused.status_code, answer.status_code) == (401, 200)


async def test_it_can_be_switched_off() -> None:
    async with three(says("x"), says("x"), says("x"), ensemble={"enabled": False}) as (served, ups):
        answer = await ask(served, "first")
        chat = await served.chat(model="a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert chat.status_code == 200
    assert len(ups[0].posts) == 1


def test_its_bounds_are_checked() -> None:
    entries = [{"name": "a", "url": "http://h/v1", "model": "m"}]
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": entries, "ensemble": {"max_branches": 1, "deadline_seconds": 0, "on": True}})
    assert [path for path, _ in refused.value.faults] == [
        "ensemble.max_branches",
        "ensemble.deadline_seconds",
        "ensemble.on",
    ]


WELL: dict[str, Any] = {"models": ["a", "b"], "aggregate": "all"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, ["'ensemble' is required"]),
        ({"ensemble": 7}, ["'ensemble'"]),
        ({"ensemble": {}}, ["'ensemble.models' is required", "'ensemble.aggregate' is required"]),
        ({"ensemble": {**WELL, "models": []}}, ["'ensemble.models'"]),
        ({"ensemble": {**WELL, "models": "a"}}, ["'ensemble.models' is 'a'"]),
        (
            {"ensemble": {**WELL, "models": [7, {"model": "b", "x": 1}]}},
            ["'ensemble.models[0]'", "'ensemble.models[1].x' is not a"],
        ),
        ({"ensemble": {**WELL, "models": ["a", "z"]}}, ["'ensemble.models[1].model' is 'z', which does not exist here", "'m-c'"]),
        ({"ensemble": {**WELL, "models": ["a"] * 6}}, ["has 6 models; at most 5"]),
        ({"ensemble": {**WELL, "aggregate": "best"}}, ["'ensemble.aggregate' is 'best'; give 'first'"]),
        ({"ensemble": {**WELL, "deadline_seconds": 0}}, ["'ensemble.deadline_seconds' is 0"]),
        ({"ensemble": {**WELL, "deadline_seconds": 500}}, ["'ensemble.deadline_seconds' is 500; at most 120 s"]),
        (
            {"ensemble": {**WELL, "models": [{"model": "a", "deadline_seconds": 9}], "deadline_seconds": 5}},
            ["'ensemble.models[0].deadline_seconds' is 9, longer than the 5 s of the whole ensemble"],
        ),
        ({"ensemble": {**WELL, "min_answers": 3}}, ["'ensemble.min_answers' is 3, but only 2 models are asked"]),
        ({"ensemble": {**WELL, "aggregate": "first", "min_answers": 2}}, ["must be 1 with the aggregate 'first'"]),
        ({"ensemble": {**WELL, "aggregate": "judge"}}, ["'ensemble.judge' is required"]),
        ({"ensemble": {**WELL, "judge": "c"}}, ["'ensemble.judge' goes with the aggregate 'judge' only"]),
        ({"ensemble": {**WELL, "aggregate": "judge", "judge": "z"}}, ["'ensemble.judge.model' is 'z'"]),
        (
            {"ensemble": {**WELL, "aggregate": "judge", "judge": {"model": "c", "deadline_seconds": 121}}},
            ["'ensemble.judge.deadline_seconds' is 121"],
        ),
        ({"ensemble": WELL, "stream": True}, ["'stream' must be false"]),
        ({"ensemble": WELL, "n": 2}, ["'n' must be 1"]),
        ({"ensemble": WELL, "messages": []}, ["'messages' must be a list"]),
        (
            {"ensemble": {"models": ["z"]}, "messages": [{"role": 1}], "stream": True, "n": 3},
            ["'messages[0].role'", "'stream'", "'n'", "'ensemble.aggregate' is required"],
        ),
    ],
)
async def test_every_fault_of_a_body_is_told(body: dict[str, Any], said: list[str]) -> None:
    async with three(says("x"), says("y"), says("z")) as (served, ups):
        answer = await served.client.post("/v1/ensemble", json={"messages": MESSAGES, **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (400, "invalid_body", "invalid_request_error")
    assert error["param"]
    for part in said:
        assert part[1:] in error["message"]
    assert [u.posts for u in ups] == [[], [], []]


@pytest.mark.parametrize(("raw", "code"), [(b"{", "invalid_json"), (b"[]", "invalid_body"), (b"", "invalid_json")])
async def test_what_is_no_object_is_told(raw: bytes, code: str) -> None:
    async with three(says("x"), says("y"), says("z")) as (served, _):
        answer = await served.client.post("/v1/ensemble", content=raw)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_what_is_nested_too_deeply_is_told() -> None:
    raw = json.dumps({"messages": MESSAGES, "ensemble": WELL})[:-1] + ',"x":' + "[" * 300 + "]" * 300 + "}"
    async with three(says("x"), says("y"), says("z")) as (served, _):
        answer = await served.client.post("/v1/ensemble", content=raw)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")


async def test_another_method_is_refused_and_the_document_has_it() -> None:
    async with three(says("x"), says("y"), says("z")) as (served, _):
        refused = await served.client.get("/v1/ensemble")
        document = (await served.client.get("/openapi.json")).json()
    assert refused.status_code == 405
    assert "/v1/ensemble" in document["paths"]
    assert {"models", "aggregate"} <= set(document["components"]["schemas"]["Settings"]["required"])
