"""What a configuration may say of a backend's replicas."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError
from slipway_router.replica_settings import MOST_REPLICAS, Address, ReplicaSettings


def backend(**replicas: Any) -> dict[str, Any]:
    return {"name": "a", "url": "http://a.ai.svc:8000/v1", "model": "m", "replicas": replicas}


@pytest.mark.parametrize(
    ("replicas", "fault"),
    [
        ({"addresses": ["10.0.0.1:8000", "http://10.0.0.2"]}, "replicas.addresses has 'http://10.0.0.2'; give HOST:PORT"),
        ({"addresses": ["10.0.0.1:0"]}, "replicas.addresses has '10.0.0.1:0'"),
        ({"addresses": ["10.0.0.1:65536"]}, "replicas.addresses has '10.0.0.1:65536'"),
        ({"addresses": ["[::zz]:80"]}, "replicas.addresses has '[::zz]:80'"),
        ({"addresses": ["[1.2.3.4]:80"]}, "replicas.addresses has '[1.2.3.4]:80'"),
        ({"addresses": ["a:1", "a:1"]}, "replicas.addresses has 'a:1' twice; give each once"),
        (
            {"addresses": [f"a:{n}" for n in range(1, MOST_REPLICAS + 2)]},
            "replicas.addresses has 257 addresses; give",
        ),
        ({"service": "a b"}, "replicas.service is 'a b'; give a name such as"),
        ({"service": "a", "addresses": ["a:1"]}, "replicas has both 'addresses' and 'service'; give one of them"),
        ({"kv_tokens": 0}, "replicas.kv_tokens is 0"),
        ({"block_tokens": 0}, "replicas.block_tokens is 0"),
        ({"tokens_per_second": 0}, "replicas.tokens_per_second is 0"),
        ({"refresh_seconds": 0.1}, "replicas.refresh_seconds is 0.1"),
        ({"outliers": {"most_ejected": 2}}, "replicas.outliers.most_ejected is 2"),
        (
            {"outliers": {"ejection_seconds": 400}},
            "replicas.outliers ejects for 400 s, longer than",
        ),
        ({"urls": []}, "replicas.urls is not a setting here"),
    ],
)
def test_faults_name_path_value_and_choice(replicas: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Config.parse({"backends": [backend(**replicas)]})
    assert fault in " ".join(str(raised.value).replace(": ", " ").split())


def test_replicas_go_with_one_protocol_only() -> None:
    with pytest.raises(ConfigError, match=r"goes with the protocol openai only, not with anthropic; leave it out"):
        Config.parse({"backends": [{**backend(), "protocol": "anthropic"}]})


def test_ports_are_those_of_the_address_unless_given() -> None:
    settings = ReplicaSettings(addresses=("10.0.0.1", "b.test:81", "[::1]", "[::1]:82"))
    assert settings.fixed(80) == [Address("10.0.0.1", 80), Address("b.test", 81), Address("::1", 80), Address("::1", 82)]
    assert [str(a) for a in settings.fixed(80)] == ["10.0.0.1:80", "b.test:81", "[::1]:80", "[::1]:82"]
    assert settings.name_to_look_up("a.test", 80) is None


def test_what_is_looked_up_is_the_service_or_the_host_of_the_address() -> None:
    assert ReplicaSettings().name_to_look_up("a.test", 80) == Address("a.test", 80)
    assert ReplicaSettings(service="b.test").name_to_look_up("a.test", 80) == Address("b.test", 80)
    assert ReplicaSettings(service="b.test:81").name_to_look_up("a.test", 80) == Address("b.test", 81)


def test_a_cache_holds_at_least_a_block() -> None:
    assert ReplicaSettings(kv_tokens=1000, block_tokens=64).capacity_blocks == 15
    assert ReplicaSettings(kv_tokens=10, block_tokens=64).capacity_blocks == 1
