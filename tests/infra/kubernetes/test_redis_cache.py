"""RedisCache: its objects against Kubernetes' published schema, what it refuses, and the very command that it renders with a real
Redis. That its network policy and its volume hold is for a cluster to show, not for this file.
"""

import base64
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.model_server import revealed
from tests.infra.kubernetes.stores import free_port, held, replaced, run_job

from slipway import RedisCache
from slipway.kubernetes.quantity import parse
from slipway.kubernetes.redis_cache_args import EvictionPolicy, RedisCacheArgs, RedisSettings
from slipway.plan import Plan, plan_program
from slipway.plan.render import render

ARGS: RedisCacheArgs = {"namespace": "ai"}
PASSWORD = "Given-by-hand.8f2a~7_Q"
EXTERNAL: Mapping[str, Any] = {"external_url": f"rediss://app:{PASSWORD}@redis.example.com:6380/2"}
REFERENCE = {"name": "redis", "key": "address"}
HELD: Mapping[str, Any] = {"host": "redis.example.com", "port": 6380, "secret": REFERENCE}
EVERYTHING: Mapping[str, Any] = {
    "image": "registry.example/redis@sha256:" + "0" * 64,
    "password": PASSWORD,
    "max_memory_mib": 1024,
    "eviction_policy": "noeviction",
    "storage_gib": 20,
    "storage_class": "fast-ssd",
    "deletion_policy": "protect",
    "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "3Gi"}},
    "allow_from": [{"namespace": "edge", "pod_labels": {"app": "router"}}, {"cidr": "10.1.0.0/16"}],
    "node_selector": {"pool": "data"},
}


def planned(name: str = "cache", /, **more: Any) -> Plan:
    return plan_program(lambda: RedisCache(name, cast("RedisCacheArgs", {**ARGS, **more})))


def refused(name: str = "cache", /, **more: Any) -> dict[str, str]:
    """Faults by path; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        RedisSettings.of(name, cast("RedisCacheArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def stateful_set(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["cache-redis"].inputs["spec"])


def container(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", stateful_set(plan)["template"]["spec"]["containers"][0])


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 6),
        (EVERYTHING, 6),
        ({"storage_gib": 0, "allow_from": []}, 6),
        ({"backup": {}}, 11),
        (EXTERNAL, 1),
        ({"external": HELD}, 0),
    ],
)
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any], count: int) -> None:
    made = [revealed(r.inputs) for r in planned(**more) if r.custom]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in made] == ["1.36"] * count


def test_without_a_word_it_is_restricted_and_closed_to_all_but_our_own_pods() -> None:
    plan = planned()
    pod = stateful_set(plan)["template"]["spec"]
    assert plan["cache-account"].inputs["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == plan["cache-account"].inputs["metadata"]["name"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container(plan)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Ingress from the pods of this library to its port, and no way out at all.
    assert plan["cache-network"].inputs["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "redis", "app.kubernetes.io/instance": "cache"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "slipway"}}}],
                "ports": [{"protocol": "TCP", "port": 6379}],
            }
        ],
    }


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    spec, redis = stateful_set(plan), container(plan)
    assert redis["image"] == EVERYTHING["image"]
    assert redis["resources"] == {"requests": {"cpu": "500m"}, "limits": {"memory": "3Gi"}}
    assert spec["template"]["spec"]["nodeSelector"] == {"pool": "data"}
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast-ssd"
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    lines = redis["command"][2].splitlines()
    assert {"maxmemory 1024mb", "maxmemory-policy noeviction", "appendonly yes"} <= set(lines)
    (rule,) = plan["cache-network"].inputs["spec"]["ingress"]
    assert rule["from"][1] == {"ipBlock": {"cidr": "10.1.0.0/16"}}
    assert rule["from"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}


def test_keys_fit_into_the_memory_that_they_may_take_even_twice() -> None:
    for mib in (16, 256, 4096):
        resources = container(planned(max_memory_mib=mib))["resources"]
        assert parse(resources["requests"]["memory"]) > mib * 1024**2
        assert parse(resources["limits"]["memory"]) > 2 * mib * 1024**2


@pytest.mark.parametrize(
    ("policy", "kept", "protected"), [("delete", "Delete", False), ("retain", "Retain", False), ("protect", "Retain", True)]
)
def test_one_argument_decides_what_becomes_of_the_volume(policy: str, kept: str, protected: bool) -> None:
    plan = planned(deletion_policy=policy)
    assert stateful_set(plan)["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": kept, "whenScaled": "Retain"}
    assert bool(plan["cache-redis"].options.get("protect")) is protected


def test_without_a_volume_nothing_is_written_and_nothing_claimed() -> None:
    plan = planned(storage_gib=0)
    assert "volumeClaimTemplates" not in stateful_set(plan)
    assert "appendonly no" in container(plan)["command"][2].splitlines()
    assert stateful_set(plan)["template"]["spec"]["volumes"] == [{"name": "data", "emptyDir": {}}]


def outputs(declare: Callable[[], RedisCache]) -> dict[str, tuple[str, bool]]:
    """Value of each output, and whether it is secret."""
    seen: dict[str, tuple[str, bool]] = {}

    def program() -> None:
        cache = declare()
        for key in ("url", "host", "url_secret"):
            output = cast("pulumi.Output[str]", getattr(cache, key))
            both: pulumi.Output[list[Any]] = pulumi.Output.all(output, output.is_secret())
            both.apply(lambda pair, key=key: seen.__setitem__(key, (pair[0], pair[1])))

    plan_program(program)
    return seen


@pytest.mark.parametrize("more", [{"password": PASSWORD}, {}])
def test_the_address_is_secret_and_the_host_is_not(more: dict[str, Any]) -> None:
    given = cast("RedisCacheArgs", {**ARGS, **more})
    found = outputs(lambda: RedisCache("cache", given))
    assert found["host"] == ("cache.ai.svc", False)
    assert found["url_secret"] == ("cache-url", False)
    url, secret = found["url"]
    assert secret
    assert url.startswith("redis://:")
    assert url.endswith("@cache.ai.svc:6379/0")
    assert len(url.removeprefix("redis://:").partition("@")[0]) >= 16


def test_a_password_is_generated_once_and_is_the_one_in_the_address() -> None:
    first, second = planned(), planned()
    password = held(first, "cache-password", "password")
    assert held(first, "cache-url", "url") == f"redis://:{password}@cache.ai.svc:6379/0"
    # 256 bits, and never the same: that of a later run is ignored, so that the first stays.
    assert len(base64.urlsafe_b64decode(password + "=")) == 32
    assert held(second, "cache-password", "password") != password
    assert first["cache-password"].options["ignoreChanges"] == ["data"]
    assert not first["cache-url"].options.get("ignoreChanges")


def test_a_given_password_is_changed_where_it_is_changed_and_restarts_the_server() -> None:
    plans = [planned(password=PASSWORD), planned(password=PASSWORD + "2")]
    assert [held(p, "cache-password", "password") for p in plans] == [PASSWORD, PASSWORD + "2"]
    assert not any(p["cache-password"].options.get("ignoreChanges") for p in plans)
    templates = [stateful_set(p)["template"]["metadata"]["annotations"] for p in plans]
    assert templates[0] != templates[1]
    assert len(templates[0]["slipway/password-revision"]) == 6


@pytest.mark.parametrize("more", [{"password": PASSWORD}, {}, EXTERNAL])
def test_the_password_is_in_no_clear_text(more: Mapping[str, Any]) -> None:
    plan = planned(**more)
    password = PASSWORD if more else held(plan, "cache-password", "password")
    assert password not in plan.to_json()
    for resource in plan:
        shown = repr(resource.inputs)
        assert password not in shown
        assert base64.b64encode(password.encode()).decode() not in shown


def test_an_external_redis_takes_the_place_of_everything_but_the_address() -> None:
    plan = planned(**EXTERNAL)
    assert [r.name for r in plan if r.custom] == ["cache-url"]
    assert held(plan, "cache-url", "url") == EXTERNAL["external_url"]
    found = outputs(lambda: RedisCache("cache", cast("RedisCacheArgs", {**ARGS, **EXTERNAL})))
    assert found["url"] == (EXTERNAL["external_url"], True)
    assert found["host"] == ("redis.example.com", False)


def test_a_secret_of_somebody_elses_is_referred_to_and_nothing_made() -> None:
    plan = planned(external=HELD)
    assert [r for r in plan if r.custom] == []
    found = outputs(lambda: RedisCache("cache", cast("RedisCacheArgs", {**ARGS, "external": HELD})))
    assert found["host"] == ("redis.example.com", False)
    assert found["url_secret"] == ("redis", False)


def test_who_asks_it_does_not_care_where_it_is() -> None:
    seen: list[Any] = []

    def program() -> None:
        for i, more in enumerate(({}, EXTERNAL, {"external": HELD})):
            cache = RedisCache(f"cache-{i}", cast("RedisCacheArgs", {**ARGS, **more}))
            seen.append((cache.env(), [way["port"] for way in cache.egress()]))

    plan_program(program)
    assert seen == [
        ({"REDIS_URL": {"name": "cache-0-url", "key": "url"}}, [6379]),
        ({"REDIS_URL": {"name": "cache-1-url", "key": "url"}}, [6380, 6380]),
        ({"REDIS_URL": REFERENCE}, [6380, 6380]),
    ]


def test_two_do_not_meet() -> None:
    def program() -> None:
        for name in ("one", "two"):
            RedisCache(name, ARGS)

    plan = plan_program(program)
    objects = [(r.inputs["kind"], r.inputs["metadata"]["name"]) for r in plan if r.custom]
    assert len(set(objects)) == len(objects) == 12
    selectors = [plan[f"{name}-service"].inputs["spec"]["selector"] for name in ("one", "two")]
    assert selectors[0] != selectors[1]


def test_rendered_it_leaves_the_secrets_to_others_and_is_the_same_each_time() -> None:
    first, second = (render(planned(), skip_secrets=True) for _ in range(2))
    assert first.files == second.files
    assert first.secrets == ("ai/cache-password with the keys password", "ai/cache-url with the keys url")


def test_what_comes_from_another_resource_is_checked_when_it_is_known() -> None:
    with pytest.raises(Exception, match=r"args\.password has 3 characters"):
        planned(password=pulumi.Output.from_input("a b"))
    with pytest.raises(Exception, match=r"args\.external_url is no address of a Redis"):
        planned(external_url=pulumi.Output.from_input("http://redis"))


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"namespace": None}, {"namespace": "is required"}),
    ({"image": "redis"}, {"image": "which means ':latest'; give a version as tag, or a digest"}),
    ({"image": "redis:latest"}, {"image": "give a version or a digest"}),
    ({"password": "short"}, {"password": "has 5 characters, or others than can stand everywhere; give 16 to 128 letters"}),
    ({"password": "p@ss word/with:signs"}, {"password": "give 16 to 128 letters"}),
    ({"password": ""}, {"password": "has 0 characters"}),
    ({"max_memory_mib": 8}, {"max_memory_mib": "is 8; give 16 or more"}),
    ({"max_memory_mib": "1Gi"}, {"max_memory_mib": "give a whole number"}),
    ({"eviction_policy": "lru"}, {"eviction_policy": "give one of 'noeviction', 'allkeys-lru'"}),
    ({"storage_gib": -1}, {"storage_gib": "is -1; give 1 or more, or 0 for no volume"}),
    ({"storage_gib": 1.5}, {"storage_gib": "give a whole number"}),
    ({"storage_gib": 0, "storage_class": "fast"}, {"storage_class": "goes with a volume"}),
    ({"storage_gib": 0, "deletion_policy": "retain"}, {"deletion_policy": "goes with a volume"}),
    ({"deletion_policy": "keep"}, {"deletion_policy": "give one of 'delete', 'retain', 'protect'"}),
    ({"resources": {"limits": {"memory": "128Mi"}}}, {"resources.limits.memory": "give at least '288Mi', or a lower"}),
    ({"resources": {"requests": {"cpu": "many"}}}, {"resources.requests.cpu": "give a quantity such as '500m'"}),
    ({"resources": {"limit": {}}}, {"resources.limit": "did you mean 'limits'?"}),
    ({"allow_from": [{}]}, {"allow_from[0]": "names nobody; give 'namespace', 'pod_labels'"}),
    ({"allow_from": [{"namespace": "Edge"}]}, {"allow_from[0].namespace": "is 'Edge'; give lower case letters"}),
    ({"allow_from": [{"pod_labels": {"a b": "c"}}]}, {"allow_from[0].pod_labels.a b": "is no key; give a name of letters"}),
    ({"allow_from": [{"cidr": "everyone"}]}, {"allow_from[0].cidr": "give an address range"}),
    ({"node_selector": ["a"]}, {"node_selector": "give a mapping"}),
    ({"external_url": "https://redis.example.com"}, {"external_url": "is no address of a Redis; give an address such as"}),
    ({"external_url": "redis://host:port"}, {"external_url": "is no address; give"}),
    ({"external_url": "redis://host/first"}, {"external_url": "no number of a database; give"}),
    ({"external_url": "redis://host", "image": "redis:7"}, {"image": "does nothing with 'external_url'"}),
    ({"memory": 256}, {"memory": "is not an argument"}),
    ({"external": {"host": "redis:6379", "secret": REFERENCE}}, {"external.host": "give a name or an address alone"}),
    ({"external": {"host": "redis", "port": 0, "secret": REFERENCE}}, {"external.port": "is 0; give 1 to 65535"}),
    (
        {"external": {"host": "redis", "secret": {"name": "R", "key": ""}}},
        {"external.secret.name": "give", "external.secret.key": "give"},
    ),
    ({"external": {"host": "redis"}}, {"external.secret": "is required"}),
    ({"external": HELD, "image": "redis:7"}, {"image": "does nothing with 'external'"}),
    ({"external": HELD, "external_url": "redis://host"}, {"external_url": "excludes 'external'"}),
    ({"storage_gib": 0, "backup": {}}, {"backup": "goes with a volume"}),
    ({"backup": {"restore_file": "cache.rdb"}}, {"backup.restore_file": "such as 'cache-20260131T030000Z.rdb'"}),
    ({"storage_class": "Fast Disk"}, {"storage_class": "is 'Fast Disk'; give lower case letters"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG[:14])))
def test_any_two_faults_are_told_together(one: tuple[Any, dict[str, str]], two: tuple[Any, dict[str, str]]) -> None:
    # Where both are about one argument, the second replaced the first.
    expected = [*two[1], *(one[1] if not one[0].keys() & two[0].keys() else ())]
    assert set(expected) <= refused(**{**one[0], **two[0]}).keys()


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= RedisCacheArgs.__annotations__.keys()


@pytest.mark.parametrize("value", [3, "text", [1], {"a": {"b": 1}}, True, float("nan")])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    for key in RedisCacheArgs.__annotations__.keys() - {"external_url"}:
        assert all(path.startswith((key, "resources")) for path in refused(**{key: value}))
    assert refused(external_url=value)


def test_no_error_shows_a_password() -> None:
    assert "hush-hush" not in str(refused(password="hush-hush"))
    assert "hush-hush" not in str(refused(external_url="http://:hush-hush@host"))


def test_a_name_that_no_pod_can_have_is_refused() -> None:
    assert "at most 46" in refused("c" * 47)["name"]
    assert "give lower case letters" in refused("My_Cache")["name"]
    assert refused("c" * 46) == {}


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([RedisCache])["component_definitions"]["RedisCache"]
    assert set(component.inputs_mapping.values()) == RedisCacheArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned(backup={}).of_type("slipway:index:RedisCache")[0].outputs.keys()
    # They give whole numbers as floats.
    assert stateful_set(planned(storage_gib=2.0, max_memory_mib=64.0)) == stateful_set(planned(storage_gib=2, max_memory_mib=64))


def test_up_waits_for_a_start_that_reads_a_long_file_back() -> None:
    plan = planned()
    probe = container(plan)["startupProbe"]
    longest = probe["periodSeconds"] * probe["failureThreshold"]
    timeouts = plan["cache-redis"].options["customTimeouts"]
    assert all(int(timeouts[key].removesuffix("s")) > longest for key in ("create", "update"))


needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server on PATH: apt-get install redis-server"
)


class Server:
    """The process that the rendered command starts."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port

    def ask(self, *words: str, password: str | None = PASSWORD) -> str:
        env = {k: v for k, v in os.environ.items() if k != "REDISCLI_AUTH"} | ({"REDISCLI_AUTH": password} if password else {})
        command = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=10, check=False).stdout.strip()

    def probe(self, redis: dict[str, Any], kind: str) -> int:
        command = redis[kind]["exec"]["command"]
        text = replaced(command[2], "-p 6379", f"-p {self.port}")
        env = {**os.environ, "REDISCLI_AUTH": PASSWORD}
        return subprocess.run([*command[:2], text], env=env, capture_output=True, timeout=10, check=False).returncode


@contextmanager
def running(redis: dict[str, Any], data: Path, password: str = PASSWORD) -> Generator[Server]:
    """Start a container's command as a kubelet would, but for the port, the folder, and the loopback that tests keep to."""
    assert [e["name"] for e in redis["env"]] == ["REDISCLI_AUTH"]
    port = free_port()
    script = replaced(redis["command"][2], "port 6379\n", f"port {port}\nbind 127.0.0.1\n")
    script = replaced(script, "dir /data\n", f"dir {data}\n")
    env = {**os.environ, "REDISCLI_AUTH": password}
    process = subprocess.Popen([*redis["command"][:2], script], env=env, stdout=subprocess.DEVNULL, cwd="/")
    try:
        server = Server(process, port)
        until = time.monotonic() + 20
        while server.ask("ping", password=password) != "PONG":
            assert process.poll() is None, f"Redis ended with {process.returncode}"
            assert time.monotonic() < until, "Redis does not answer"
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@needs_redis
def test_a_real_redis_starts_from_the_rendered_command_and_refuses_who_has_no_password(tmp_path: Path) -> None:
    redis = container(planned(password=PASSWORD))
    with running(redis, tmp_path) as server:
        assert server.ask("set", "key", "value", password=None).startswith("NOAUTH")
        assert server.ask("set", "key", "value", password="another-password").startswith("NOAUTH")
        assert server.ask("set", "key", "value") == "OK"
        assert {server.probe(redis, k) for k in ("startupProbe", "readinessProbe", "livenessProbe")} == {0}
        assert server.ask("config", "get", "maxmemory").split() == ["maxmemory", str(256 * 1024**2)]
        # The shell made way for Redis, so that Kubernetes' SIGTERM reaches it.
        assert Path(f"/proc/{server.process.pid}/comm").read_text().strip() == "redis-server"
        assert PASSWORD.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        assert not any(PASSWORD.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert server.process.returncode == 0
    assert server.probe(redis, "livenessProbe") != 0


@needs_redis
@pytest.mark.parametrize(("storage", "found"), [(8, "value"), (0, "")])
def test_data_outlives_a_restart_where_there_is_a_volume(storage: int, found: str, tmp_path: Path) -> None:
    redis = container(planned(password=PASSWORD, storage_gib=storage))
    with running(redis, tmp_path) as server:
        assert server.ask("set", "key", "value") == "OK"
    with running(redis, tmp_path) as server:
        assert server.ask("get", "key") == found


@needs_redis
def test_a_generated_password_opens_the_server_that_has_it(tmp_path: Path) -> None:
    plan = planned()
    password = held(plan, "cache-password", "password")
    with running(container(plan), tmp_path, password) as server:
        assert server.ask("ping", password=PASSWORD).startswith(("NOAUTH", "WRONGPASS", "AUTH failed"))


@needs_redis
@pytest.mark.parametrize("policy", list(EvictionPolicy))
def test_redis_knows_every_eviction_policy(policy: EvictionPolicy, tmp_path: Path) -> None:
    redis = container(planned(password=PASSWORD, eviction_policy=policy, storage_gib=0, max_memory_mib=16))
    with running(redis, tmp_path) as server:
        assert server.ask("config", "get", "maxmemory-policy").split()[1] == policy.value


def fill(server: Server) -> None:
    assert server.ask("mset", "a key", "value", "other", "2") == "OK"
    assert server.ask("-n", "3", "rpush", "list", "one", "two") == "2"
    assert server.ask("expire", "other", "1000") == "1"


def job(plan: Plan, role: str, server: Server, backups: Path, scratch: Path) -> "subprocess.CompletedProcess[str]":
    """Run the container that a backup's or a restore's Job has, against this server."""
    told = {"HOST": "127.0.0.1", "PORT": str(server.port), "REDISCLI_AUTH": PASSWORD}
    return run_job(plan, f"cache-{role}", backups, scratch, told)


@needs_redis
def test_what_the_cronjob_backs_up_the_job_restores_into_an_empty_one(tmp_path: Path) -> None:
    plan = planned(password=PASSWORD, backup={"keep": 2})
    redis = container(plan)
    backups, scratch = tmp_path / "backups", tmp_path / "scratch"
    for folder in (backups, scratch, tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
    (backups / "cache-20200101T000000Z.rdb").write_bytes(b"old")
    (backups / "cache-20200102T000000Z.rdb").write_bytes(b"old")
    (backups / "another-20200101T000000Z.rdb").write_bytes(b"not ours")
    with running(redis, tmp_path / "first") as server:
        fill(server)
        done = job(plan, "backup", server, backups, scratch)
        assert done.returncode == 0, done.stderr
        kept = sorted(file.name for file in backups.glob("cache-*"))
        assert len(kept) == 2
        assert kept[0] == "cache-20200102T000000Z.rdb"
        # What holds something is not written over.
        refusal = job(plan, "restore", server, backups, scratch)
        assert refusal.returncode == 1
        assert "into an empty one" in refusal.stderr
        assert PASSWORD not in done.stdout + done.stderr + refusal.stdout + refusal.stderr
    with running(redis, tmp_path / "second") as server:
        done = job(plan, "restore", server, backups, scratch)
        assert done.returncode == 0, done.stderr
        assert server.ask("get", "a key") == "value"
        assert server.ask("-n", "3", "lrange", "list", "0", "-1").split() == ["one", "two"]
        assert 900 < int(server.ask("ttl", "other")) <= 1000
    with running(redis, tmp_path / "second") as server:
        assert server.ask("get", "a key") == "value", "what was restored is in its own file too"


@needs_redis
def test_a_backup_that_cannot_be_made_or_read_fails_and_leaves_the_others(tmp_path: Path) -> None:
    plan = planned(password=PASSWORD, backup={"keep": 1, "restore_file": "cache-20200101T000000Z.rdb"})
    backups = tmp_path / "backups"
    backups.mkdir()
    old = backups / "cache-20200101T000000Z.rdb"
    old.write_bytes(b"not a backup")
    with running(container(plan), tmp_path) as server:
        wrong = job(plan, "restore", server, backups, tmp_path)
        assert wrong.returncode == 1
        assert "cannot be read" in wrong.stderr
    gone = job(plan, "backup", server, backups, tmp_path)
    assert gone.returncode != 0
    assert [file.name for file in backups.iterdir()] == [old.name]
