"""Tokens of a real issuer, and what is none of its."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.app.serving import Served, backend, serving, upstream
from tests.app.tenancy.issuer import Issuer, issuing, rsa_key
from tests.app.tenancy.real_redis import until

from slipway_router.config import Config, ConfigError
from slipway_router.tenancy import tokens as tokens_module


@asynccontextmanager
async def router(issuer: Issuer, **jwt: Any) -> AsyncGenerator[Served]:
    async with upstream() as one, serving(backend(one), jwt={"issuer": issuer.url, "audience": "router", **jwt}) as served:
        tokens = served.router.tokens
        assert tokens is not None
        await until(lambda: issuer.broken or bool(tokens._keys))  # pyright: ignore[reportPrivateUsage]
        yield served


async def ask(served: Served, token: str) -> tuple[int, str]:
    answer = await served.chat({"authorization": f"Bearer {token}"})
    if answer.status_code == 200:
        return 200, ""
    assert token.rsplit(".", 1)[0] not in answer.text
    return answer.status_code, answer.json()["error"]["message"]


def other(_: Issuer) -> str:
    """By a key of its own, under the name of the issuer's."""
    with issuing() as another:
        another.signing["one"] = rsa_key(2)
        return another.token(iss=_.url)


BAD: list[tuple[str, Callable[[Issuer], str], str]] = [
    ("issuer", lambda i: i.token(iss="https://elsewhere"), "is of another issuer"),
    ("no issuer", lambda i: i.token(iss=None), "lacks the claim 'iss'"),
    ("audience", lambda i: i.token(aud="another"), "is for another audience"),
    ("no audience", lambda i: i.token(aud=None), "lacks the claim 'aud'"),
    ("none", lambda i: i.forged("none"), "is not signed by one of RS256, ES256"),
    ("None", lambda i: i.forged("None"), "is not signed by one of"),
    ("HS for RS", lambda i: i.forged("HS256"), "is not signed by one of"),
    ("not listed", lambda i: i.token(algorithm="RS512"), "is not signed by one of"),
    ("another key's kind", lambda i: i.token("ec", "ES256", {"kid": "one"}), "is signed in a way that its key is not for"),
    ("expired", lambda i: i.token(exp=int(time.time()) - 31), "has expired"),
    ("no expiry", lambda i: i.token(exp=None), "lacks the claim 'exp'"),
    ("not yet", lambda i: i.token(nbf=int(time.time()) + 90), "is not valid yet"),
    ("no subject", lambda i: i.token(sub=None), "lacks the claim 'sub'"),
    ("unknown key", lambda i: i.token(head={"kid": "two"}), "a key that the issuer does not tell of"),
    ("another's signature", other, "has a signature that is not its issuer's"),
    ("changed", lambda i: i.token()[:-6] + "AAAAAA", "has a signature that is not its issuer's"),
    ("no token", lambda i: "a.b.c", "is no JSON Web Token"),
]


async def test_good_tokens_are_taken_and_all_others_refused_with_the_reason() -> None:
    with issuing() as issuer:
        async with router(issuer, tier="paid") as served:
            for good in (issuer.token(), issuer.token("ec", "ES256"), issuer.token(exp=int(time.time()) - 5)):
                assert await ask(served, good) == (200, "")
            for what, made, why in BAD:
                status, said = await ask(served, made(issuer))
                assert (what, status) == (what, 401)
                assert why in said, what
            assert (await served.chat()).status_code == 401
            assert (await ask(served, "no-token"))[0] == 401


async def test_keys_rotate_without_a_restart_and_an_unknown_one_does_not_make_the_router_fetch_at_will(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens_module, "LEAST_SECONDS", 0.2)
    with issuing() as issuer:
        async with router(issuer) as served:
            old = issuer.token()
            assert await ask(served, old) == (200, "")
            issuer.signing["two"] = rsa_key(2)
            new = issuer.token("two")
            assert (await ask(served, new))[0] == 401
            fetches, began = issuer.fetches, time.monotonic()
            for _ in range(20):
                await ask(served, issuer.token("two", head={"kid": "three"}))
            # One more may be under way at either end.
            assert issuer.fetches <= fetches + 2 + (time.monotonic() - began) / 0.2
            tokens = served.router.tokens
            assert tokens is not None
            await until(lambda: "two" in tokens._keys)  # pyright: ignore[reportPrivateUsage]
            assert await ask(served, new) == (200, "")
            assert await ask(served, old) == (200, "")
            # Taken out, it is refused, on the connection that it was good on too.
            del issuer.signing["one"]
            await ask(served, issuer.token("two", head={"kid": "four"}))
            await until(lambda: "one" not in tokens._keys)  # pyright: ignore[reportPrivateUsage]
            assert (await ask(served, old))[0] == 401
            assert await ask(served, new) == (200, "")
            # An issuer that fails takes nothing away.
            issuer.broken = True
            await tokens.fetch()
            assert await ask(served, new) == (200, "")


async def test_a_token_that_expires_is_refused_on_the_connection_it_was_good_on() -> None:
    with issuing() as issuer:
        async with router(issuer, leeway_seconds=0) as served:
            token = issuer.token(exp=int(time.time()) + 2)
            assert await ask(served, token) == (200, "")
            time.sleep(2.1)  # noqa: ASYNC251 -- nothing else is to happen
            assert (await ask(served, token))[1] == "The token has expired."


async def test_each_subject_has_limits_of_its_own_and_a_name_that_tells_nothing() -> None:
    with issuing() as issuer:
        async with router(issuer, requests_per_minute=1, tier_claim="plan") as served:
            ann, bob = issuer.token(sub="ann@example.com"), issuer.token(sub="bob@example.com", plan="enterprise")
            assert [(await ask(served, t))[0] for t in (ann, ann, bob, bob)] == [200, 429, 200, 429]
            assert served.router.keys.caller(f"Bearer {bob}".encode()).tier == "enterprise"
            metrics = served.router.metrics.text().decode()
            assert 'key="jwt-' in metrics
            assert "example.com" not in metrics


async def test_while_the_issuer_has_told_no_keys_nobody_is_turned_away_for_good() -> None:
    with issuing() as issuer:
        issuer.broken = True
        async with router(issuer) as served:
            assert (await ask(served, issuer.token()))[0] == 503
            issuer.broken, issuer.claimed = False, "https://elsewhere"
            await served.router.tokens.fetch()  # pyright: ignore[reportOptionalMemberAccess]
            assert (await ask(served, issuer.token()))[0] == 503
            issuer.claimed = issuer.url
            await served.router.tokens.fetch()  # pyright: ignore[reportOptionalMemberAccess]
            assert (await ask(served, issuer.token()))[0] == 200


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        ({"issuer": None}, "jwt.issuer", "is required"),
        ({"audience": None}, "jwt.audience", "is required"),
        ({"issuer": "http://login.example.com"}, "jwt.issuer", "give https://"),
        ({"issuer": "ftp://login.example.com"}, "jwt.issuer", "give https://"),
        ({"issuer": "https://a:b@login.example.com"}, "jwt.issuer", "without user"),
        ({"jwks_url": "https://login.example.com/keys?x=1"}, "jwt.jwks_url", "without user, query"),
        ({"algorithms": ["HS256"]}, "jwt.algorithms[0]", "give 'RS256'"),
        ({"algorithms": ["none"]}, "jwt.algorithms[0]", "give 'RS256'"),
        ({"algorithms": []}, "jwt.algorithms", "list some"),
        ({"leeway_seconds": 3600}, "jwt.leeway_seconds", "less than or equal to 300"),
        ({"models": ["gpt"]}, "jwt.models[0]", "there are 'auto', 'mock', 'one'"),
        ({"secret": "x"}, "jwt.secret", "is not a setting here"),
    ],
)
def test_an_issuers_faults(settings: dict[str, Any], path: str, said: str) -> None:
    given = {"issuer": "https://login.example.com", "audience": "router", **settings}
    jwt = {k: v for k, v in given.items() if v is not None}
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [{"name": "one", "url": "http://127.0.0.1:1/v1", "model": "mock"}], "jwt": jwt})
    assert [p for p, _ in refused.value.faults] == [path]
    assert said in refused.value.faults[0][1]
