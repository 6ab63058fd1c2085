"""A backend of several replicas, as it is configured: where they are, how large their caches are, when one is left out."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from slipway_router.schema import Strict

MOST_REPLICAS = 256
"""Largest number of replicas of one backend. What DNS names beyond is left out."""
_ADDRESS = re.compile(
    r"(\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?))(:(?P<port>[0-9]{1,5}))?"
)


class Address(NamedTuple):
    """Where one replica is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class OutlierSettings(Strict):
    """When a replica that does worse than its peers is left out, and for how long.

    After Envoy's outlier detection (docs: "Outlier detection"), but for one thing: a replica's share of failures is held against
    that of all others together, not against the standard deviation, which among n replicas nobody can exceed sqrt(n - 1) times.
    """

    consecutive_failures: int = Field(default=5, ge=1, le=1000)
    """So many failures without a good answer between them, and it is left out at once."""
    interval_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long outcomes are counted before replicas are held against each other, and counting begins anew."""
    least_outcomes: int = Field(default=10, ge=1)
    """With fewer outcomes in an interval a replica is not held against the others, nor they against it."""
    error_margin: float = Field(default=0.25, gt=0, le=1)
    """It is left out if its share of failures is this much above that of all others together."""
    latency_factor: float = Field(default=5.0, gt=1)
    """And if its mean time to the first byte is so many times the median of the others'. Prompts of the same length differ by
    what is cached: give no small factor."""
    ejection_seconds: float = Field(default=30.0, gt=0, le=3600)
    """For how long, the first time; twice as long the second time, and so on. Each interval without makes it one time less."""
    most_ejection_seconds: float = Field(default=300.0, gt=0, le=86400)
    """Longest of these times. At least `ejection_seconds`."""
    most_ejected: float = Field(default=0.34, ge=0, le=1)
    """Never more than this share of the replicas at once, but always one where there are two or more. 0: none is left out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ejection_seconds > self.most_ejection_seconds:
            raise ValueError(
                f"ejects for {self.ejection_seconds:g} s, longer than 'most_ejection_seconds' ({self.most_ejection_seconds:g}); "
                "raise that"
            )
        return self


class ReplicaSettings(Strict):
    """A backend that is several alike servers. Each request goes to the one that is expected to be done with its prompt first, by
    what was sent where and is cached there.

    All of them are asked as `url` says: by its scheme and path, with its host as the `Host` header and as the name that a
    certificate must have.
    """

    addresses: tuple[str, ...] = ()
    """Where they are, each HOST:PORT, or HOST for the port of `url`. Give this or `service`."""
    service: str | None = None
    """A name whose A and AAAA records are the replicas, such as a headless Service's; HOST or HOST:PORT. Default, without
    `addresses`: the host of `url`. While it has no records, or none were found yet, requests go to `url`."""
    refresh_seconds: float = Field(default=5.0, ge=0.5, le=3600)
    """How often `service` is looked up, in the background. A system's resolver does not tell how long its answers are good for:
    give about the time to live of the records, which CoreDNS's own default for Services is (5 s)."""
    kv_tokens: int = Field(default=100_000, ge=1)
    """Tokens that the KV cache of one replica holds. Sizes what is remembered of each: 250 bytes for every `block_tokens`."""
    block_tokens: int = Field(default=64, ge=1, le=65536)
    """Tokens by which prefixes are told apart: with fewer more exactly, for more time and memory. An engine's own blocks may be
    smaller."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Prompt tokens that one replica computes in a second. Default: measured, where answers are streamed."""
    outliers: OutlierSettings = OutlierSettings()
    """When one that does worse than the others is left out."""

    @field_validator("addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [a for a in value if _address(a, 80) is None]
        if wrong:
            raise ValueError(f"has {', '.join(repr(a) for a in wrong)}; give HOST:PORT, such as '10.0.0.7:8000'")
        twice = sorted({a for a in value if value.count(a) > 1})
        if twice:
            raise ValueError(f"has {', '.join(repr(a) for a in twice)} twice; give each once")
        if len(value) > MOST_REPLICAS:
            raise ValueError(f"has {len(value)} addresses; give at most {MOST_REPLICAS}")
        return value

    @field_validator("service")
    @classmethod
    def _service(cls, value: str | None) -> str | None:
        if value is not None and _address(value, 80) is None:
            raise ValueError(
                f"is {value!r}; give a name such as 'llama-headless.ai.svc', with ':PORT' where it is not that of 'url'"
            )
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.addresses and self.service is not None:
            raise ValueError("has both 'addresses' and 'service'; give one of them")
        return self

    @property
    def capacity_blocks(self) -> int:
        """Blocks that the cache of one replica holds; at least one."""
        return max(1, self.kv_tokens // self.block_tokens)

    def fixed(self, port: int) -> list[Address]:
        """The addresses given.

        Args:
            port: That of the backend's `url`.
        """
        return [found for a in self.addresses if (found := _address(a, port)) is not None]

    def name_to_look_up(self, host: str, port: int) -> Address | None:
        """The name whose records are the replicas, and their port; None where addresses are given.

        Args:
            host: That of the backend's `url`.
            port: Its port.
        """
        if self.addresses:
            return None
        return Address(host, port) if self.service is None else _address(self.service, port)


def fleet_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Several replicas where there is one address for all of a vendor's."""
    replicas, protocol = backend.get("replicas"), backend.get("protocol", "openai")
    if replicas is None or protocol == "openai":
        return []
    return [(f"{path}.replicas", f"goes with the protocol openai only, not with {protocol}; leave it out")]


def _address(text: str, port: int) -> Address | None:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    told = int(found["port"]) if found["port"] else port
    if found["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(found["ipv6"])
        except ValueError:
            return None
    return Address(found["ipv6"] or found["host"], told) if 1 <= told <= 65535 else None
