"""Network policies as data: nothing is open by accident. That a CNI enforces them is not proven here."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.args import Faults
from slipway.backend import Egress
from slipway.kubernetes.network import PROMETHEUS, SAME_NAMESPACE, Peer, anywhere, check_egress, check_peer, dns, isolate

PODS = {"app": "x"}


def told(check: Any, value: Mapping[str, Any]) -> dict[str, str]:
    faults = Faults("Thing")
    check("here", value, faults)
    try:
        faults.refuse("x")
    except pulumi.InputPropertiesError as error:
        return {f["property_path"]: f["reason"] for f in error.errors or []}
    return {}


def test_who_may_come_in_is_one_rule_on_one_port() -> None:
    allowed: list[Peer] = [SAME_NAMESPACE, PROMETHEUS, {"cidr": "10.0.0.0/8"}, {"namespace": "web"}]
    assert isolate(PODS, 8000, allowed, [])["ingress"] == [  # pyright: ignore[reportTypedDictNotRequiredAccess] -- `isolate` sets it
        {
            "from_": [
                {"pod_selector": {}},
                {
                    "pod_selector": {"match_labels": {"app.kubernetes.io/name": "prometheus"}},
                    "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "monitoring"}},
                },
                {"ip_block": {"cidr": "10.0.0.0/8"}},
                {
                    "pod_selector": {},
                    "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "web"}},
                },
            ],
            "ports": [{"protocol": "TCP", "port": 8000}],
        }
    ]


def test_nobody_allowed_means_nobody_and_no_way_out_means_dns_alone() -> None:
    assert isolate(PODS, 8000, [], []) == {
        "pod_selector": {"match_labels": PODS},
        "policy_types": ["Ingress", "Egress"],
        "egress": [dns()],
    }


def test_each_way_out_is_there_once() -> None:
    llama: Egress = {"port": 8000, "pod_labels": {"app": "llama"}, "namespace": "models"}
    rules = cast("list[Any]", isolate(PODS, 8000, [], [llama, *anywhere(443), llama, *anywhere(443)]).get("egress"))
    assert rules[1:] == [
        {
            "to": [
                {
                    "pod_selector": {"match_labels": {"app": "llama"}},
                    "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "models"}},
                }
            ],
            "ports": [{"protocol": "TCP", "port": 8000}],
        },
        {"to": [{"ip_block": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        {"to": [{"ip_block": {"cidr": "::/0"}}], "ports": [{"protocol": "TCP", "port": 443}]},
    ]


@pytest.mark.parametrize(
    "peer", [{"pod_labels": {}}, {"namespace": "web"}, {"cidr": "::/0"}, {"namespace": "a", "pod_labels": {"b": "c"}}]
)
def test_peers_that_say_who(peer: Mapping[str, Any]) -> None:
    assert told(check_peer, peer) == {}


@pytest.mark.parametrize(
    ("check", "value", "path", "said"),
    [
        (check_peer, {}, "args.here", "names nobody"),
        (check_peer, {"cidr": "10.0.0.1/8"}, "args.here.cidr", "has host bits set"),
        (check_peer, {"cidr": "vpn"}, "args.here.cidr", "give an address range"),
        (check_peer, {"cidr": "10.0.0.0/8", "namespace": "web"}, "args.here", "has 'cidr' beside"),
        (check_peer, {"namespace": "Web"}, "args.here.namespace", "is 'Web'"),
        (check_egress, {"port": 8000}, "args.here", "has no address"),
        (check_egress, {"port": 8000, "namespace": "web"}, "args.here", "has no address"),
        (check_egress, {"port": 0, "cidr": "::/0"}, "args.here.port", "is 0; give 1 to 65535"),
        (check_egress, {"port": 65536, "pod_labels": {}}, "args.here.port", "is 65536"),
        (check_egress, {"port": 1, "cidr": "::/0", "pod_labels": {}}, "args.here", "has 'cidr' beside"),
    ],
)
def test_what_would_match_something_else_is_refused(check: Any, value: Mapping[str, Any], path: str, said: str) -> None:
    faults = told(check, value)
    assert list(faults) == [path]
    assert said in faults[path]
