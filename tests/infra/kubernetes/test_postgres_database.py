"""PostgresDatabase: its objects against Kubernetes' published schema, what it refuses, and the very commands that it renders
with a real PostgreSQL. That its network policy and its volume hold is for a cluster to show, not for this file.
"""

import base64
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.model_server import revealed
from tests.infra.kubernetes.stores import free_port, held, job_spec, replaced, run_job

from slipway import PostgresDatabase
from slipway.kubernetes.postgres_database_args import PostgresDatabaseArgs, PostgresSettings
from slipway.kubernetes.postgres_database_pod import USER
from slipway.kubernetes.postgres_memory import MIB, PostgresMemory
from slipway.plan import Plan, plan_program

ARGS: PostgresDatabaseArgs = {"namespace": "ai"}
PASSWORD = "Given-by-hand.8f2a~7_Q"
REFERENCE = {"name": "database", "key": "address"}
EXTERNAL: Mapping[str, Any] = {"external_url": f"postgresql://chat:{PASSWORD}@db.example.com:5433/chat?sslmode=verify-full"}
HELD: Mapping[str, Any] = {"host": "db.example.com", "port": 5433, "secret": REFERENCE}
BUCKET: Mapping[str, Any] = {"uri": "s3://acme-backups/chat", "region": "eu-central-1", "credentials_secret": "bucket"}
EVERYTHING: Mapping[str, Any] = {
    "image": "registry.example/postgres@sha256:" + "0" * 64,
    "database": "chat",
    "user": "chat_owner",
    "password": PASSWORD,
    "max_connections": 200,
    "storage_gib": 20,
    "storage_class": "fast-ssd",
    "deletion_policy": "protect",
    "backup": {"schedule": "30 2 * * *", "timezone": "Europe/Vienna", "keep": 14, "gib": 50, "storage_class": "slow"},
    "tls_secret": "chat-tls",
    "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "4Gi"}},
    "allow_from": [{"namespace": "edge", "pod_labels": {"app": "chat"}}, {"cidr": "10.1.0.0/16"}],
    "node_selector": {"pool": "data"},
}


def planned(name: str = "chat", /, **more: Any) -> Plan:
    return plan_program(lambda: PostgresDatabase(name, cast("PostgresDatabaseArgs", {**ARGS, **more})))


def refused(name: str = "chat", /, **more: Any) -> dict[str, str]:
    """Faults by path; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        PostgresSettings.of(name, cast("PostgresDatabaseArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def stateful_set(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["chat-postgres"].inputs["spec"])


def container(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", stateful_set(plan)["template"]["spec"]["containers"][0])


@pytest.mark.parametrize(
    ("more", "count"),
    [({}, 6), (EVERYTHING, 11), ({"backup": {"bucket": BUCKET}}, 10), (EXTERNAL, 1), ({"external": HELD}, 0)],
)
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any], count: int) -> None:
    made = [revealed(r.inputs) for r in planned(**more) if r.custom]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in made] == ["1.36"] * count


@pytest.mark.parametrize("role", ["backup", "restore"])
@pytest.mark.parametrize("more", [{}, {"bucket": BUCKET}])
def test_every_pod_is_restricted_and_has_a_limit_of_memory(role: str, more: Mapping[str, Any]) -> None:
    plan = planned(backup=more)
    for pod in (stateful_set(plan)["template"]["spec"], job_spec(plan, f"chat-{role}")):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == USER
        for one in [*pod.get("initContainers", []), *pod["containers"]]:
            security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert one["securityContext"] == security
            assert "memory" in one["resources"]["limits"]


def test_only_its_own_kin_and_its_backups_may_connect_and_it_connects_to_nobody() -> None:
    plan = planned(backup={}, allow_from=[{"pod_labels": {"app": "chat"}}])
    spec = plan["chat-network"].inputs["spec"]
    assert "egress" not in spec
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    labels = {"app.kubernetes.io/name": "postgres-backup", "app.kubernetes.io/instance": "chat"}
    (rule,) = spec["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [{"app": "chat"}, labels]
    assert rule["ports"] == [{"protocol": "TCP", "port": 5432}]
    backups = plan["chat-backup-network"].inputs["spec"]
    assert "ingress" not in backups
    assert backups["podSelector"]["matchLabels"] == labels
    assert [rule["ports"][0]["port"] for rule in backups["egress"]] == [53, 5432]
    # The Service does not send anybody's questions to a backup's pod.
    template = plan["chat-backup"].inputs["spec"]["jobTemplate"]["spec"]["template"]
    assert not plan["chat-service"].inputs["spec"]["selector"].items() <= template["metadata"]["labels"].items()


def test_a_bucket_opens_the_way_to_it_and_to_its_identity() -> None:
    identity = {"gcp_service_account": "backups@acme.iam.gserviceaccount.com"}
    plan = planned(backup={"bucket": {"uri": "gs://acme-backups/chat", "identity": identity}})
    ports = [rule["ports"][0]["port"] for rule in plan["chat-backup-network"].inputs["spec"]["egress"]]
    assert ports == [53, 5432, 443, 443, 988, 80]
    annotations = plan["chat-backup-account"].inputs["metadata"]["annotations"]
    assert annotations == {"iam.gke.io/gcp-service-account": identity["gcp_service_account"]}
    assert "chat-backups" not in plan
    assert job_spec(plan, "chat-backup")["volumes"][0] == {"name": "backups", "emptyDir": {"sizeLimit": "8Gi"}}


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    spec, postgres = stateful_set(plan), container(plan)
    assert postgres["image"] == EVERYTHING["image"]
    assert postgres["resources"] == {"requests": {"cpu": "500m", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    assert spec["template"]["spec"]["nodeSelector"] == {"pool": "data"}
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast-ssd"
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    lines = postgres["command"][2].splitlines()
    assert {"max_connections = 200", "shared_buffers = 1024MB", "ssl = on"} <= set(lines)
    assert "hostssl chat chat_owner 0.0.0.0/0 scram-sha-256" in lines
    assert not any(line.startswith("host ") for line in lines)
    assert held(plan, "chat-url", "url") == f"postgresql://chat_owner:{PASSWORD}@chat.ai.svc:5432/chat?sslmode=require"
    cron = plan["chat-backup"].inputs["spec"]
    assert (cron["schedule"], cron["timeZone"], cron["suspend"]) == ("30 2 * * *", "Europe/Vienna", False)
    assert plan["chat-restore"].inputs["spec"]["suspend"] is True
    backups = plan["chat-backups"].inputs["spec"]
    assert (backups["storageClassName"], backups["resources"]["requests"]["storage"]) == ("slow", "50Gi")


@pytest.mark.parametrize(
    ("policy", "kept", "protected"), [("delete", "Delete", False), ("retain", "Retain", False), ("protect", "Retain", True)]
)
def test_one_argument_decides_what_becomes_of_a_volume(policy: str, kept: str, protected: bool) -> None:
    plan = planned(deletion_policy=policy, backup={"deletion_policy": policy})
    assert stateful_set(plan)["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == kept
    assert bool(plan["chat-postgres"].options.get("protect")) is protected
    assert bool(plan["chat-backups"].options.get("protect")) is protected
    assert bool(plan["chat-backups"].options.get("retainOnDelete")) is (kept == "Retain")


def test_backups_stay_whatever_becomes_of_the_database() -> None:
    assert planned(deletion_policy="delete", backup={})["chat-backups"].options["retainOnDelete"] is True


def test_memory_is_shared_out_so_that_all_connections_fit() -> None:
    for gib, connections in ((1, 100), (4, 200), (64, 1000)):
        memory = PostgresMemory(gib * 1024 * MIB, connections)
        assert memory.shared_buffers_mib * 4 == gib * 1024
        sorts = memory.work_mem_kib * 1024 * connections * 3
        assert sorts + memory.shared_buffers_mib * MIB <= memory.limit
        assert memory.maintenance_work_mem_mib <= 2048


def test_the_least_memory_and_the_most_connections_that_an_error_tells_are_taken() -> None:
    told = refused(max_connections=1000)["resources.limits.memory"]
    assert "give at least '4001Mi', or max_connections of at most 256" in told
    assert refused(max_connections=1000, resources={"limits": {"memory": "4001Mi"}}) == {}
    assert refused(max_connections=256) == {}
    assert refused(max_connections=257) != {}


def test_a_password_is_generated_once_and_is_the_one_in_the_address() -> None:
    first, second = planned(), planned()
    password = held(first, "chat-password", "password")
    assert held(first, "chat-url", "url") == f"postgresql://app:{password}@chat.ai.svc:5432/app"
    assert len(base64.urlsafe_b64decode(password + "=")) == 32
    assert held(second, "chat-password", "password") != password
    assert first["chat-password"].options["ignoreChanges"] == ["data"]


@pytest.mark.parametrize("more", [{"password": PASSWORD, "backup": {}}, {}, EXTERNAL])
def test_the_password_is_in_no_clear_text(more: Mapping[str, Any]) -> None:
    plan = planned(**more)
    password = PASSWORD if more else held(plan, "chat-password", "password")
    assert password not in plan.to_json()
    for resource in plan:
        shown = repr(resource.inputs)
        assert password not in shown
        assert base64.b64encode(password.encode()).decode() not in shown


def test_who_asks_it_does_not_care_where_it_is() -> None:
    seen: list[Any] = []

    def program() -> None:
        for i, more in enumerate(({}, EXTERNAL, {"external": HELD})):
            made = PostgresDatabase(f"chat-{i}", cast("PostgresDatabaseArgs", {**ARGS, **more}))
            seen.append((made.env(), [way["port"] for way in made.egress()]))

    plan = plan_program(program)
    assert seen == [
        ({"DATABASE_URL": {"name": "chat-0-url", "key": "url"}}, [5432]),
        ({"DATABASE_URL": {"name": "chat-1-url", "key": "url"}}, [5433, 5433]),
        ({"DATABASE_URL": REFERENCE}, [5433, 5433]),
    ]
    assert held(plan, "chat-1-url", "url") == EXTERNAL["external_url"]


def test_two_do_not_meet() -> None:
    def program() -> None:
        for name in ("one", "two"):
            PostgresDatabase(name, {**ARGS, "backup": {}})

    objects = [(r.inputs["kind"], r.inputs["metadata"]["name"]) for r in plan_program(program) if r.custom]
    assert len(set(objects)) == len(objects) == 22


def test_what_comes_from_another_resource_is_checked_when_it_is_known() -> None:
    with pytest.raises(Exception, match=r"args\.password has 3 characters"):
        planned(password=pulumi.Output.from_input("a b"))
    with pytest.raises(Exception, match=r"args\.external_url is no address of a PostgreSQL"):
        planned(external_url=pulumi.Output.from_input("http://db"))


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"image": "postgres"}, {"image": "which means ':latest'; give a version as tag, or a digest"}),
    ({"database": "Chat"}, {"database": "is 'Chat'; give lower case letters"}),
    ({"database": "template1"}, {"database": "none of PostgreSQL's own"}),
    ({"user": "chat'; DROP"}, {"user": "give lower case letters"}),
    ({"user": "pg_monitor"}, {"user": "none of PostgreSQL's own"}),
    ({"password": "short"}, {"password": "has 5 characters, or others than can stand everywhere; give 16 to 128 letters"}),
    ({"max_connections": 5}, {"max_connections": "is 5; give 10 to 5000"}),
    ({"storage_gib": -1}, {"storage_gib": "is -1; give 1 or more"}),
    ({"storage_gib": 0}, {"storage_gib": "is 0; give 1 or more: it keeps its data"}),
    ({"storage_class": "Fast Disk"}, {"storage_class": "is 'Fast Disk'; give lower case letters"}),
    ({"deletion_policy": "keep"}, {"deletion_policy": "give one of 'delete', 'retain', 'protect'"}),
    ({"tls_secret": "TLS"}, {"tls_secret": "is 'TLS'; give lower case letters"}),
    (
        {"resources": {"limits": {"memory": "256Mi"}}},
        {"resources.limits.memory": "give at least '401Mi', or max_connections of at most 64"},
    ),
    ({"resources": {"requests": {"cpu": "many"}}}, {"resources.requests.cpu": "give a quantity such as '500m'"}),
    ({"allow_from": [{}]}, {"allow_from[0]": "names nobody; give 'namespace', 'pod_labels'"}),
    ({"node_selector": {"a b": "c"}}, {"node_selector.a b": "is no key; give a name"}),
    ({"external_url": "mysql://db/chat"}, {"external_url": "is no address of a PostgreSQL; give an address such as"}),
    ({"external_url": "postgresql://db"}, {"external_url": "names no database; give"}),
    ({"external_url": "postgresql://db:port/chat"}, {"external_url": "is no address; give"}),
    ({"external_url": "postgresql://db/chat", "user": "chat"}, {"user": "does nothing with 'external_url'"}),
    ({"external": {"host": "db:5432", "secret": REFERENCE}}, {"external.host": "give a name or an address alone"}),
    ({"external": {"host": "db", "port": 70000, "secret": REFERENCE}}, {"external.port": "is 70000; give 1 to 65535"}),
    ({"backup": {"schedule": "nightly"}}, {"backup.schedule": "is 'nightly'; give a cron line of five fields"}),
    ({"backup": {"timezone": "Vienna"}}, {"backup.timezone": "is 'Vienna'; give a name of the IANA database"}),
    ({"backup": {"keep": 0}}, {"backup.keep": "is 0; give 1 to 1000"}),
    ({"backup": {"gib": 0}}, {"backup.gib": "is 0; give 1 or more"}),
    ({"backup": {"storage_class": "Slow"}}, {"backup.storage_class": "is 'Slow'; give lower case letters"}),
    ({"backup": {"deletion_policy": "keep"}}, {"backup.deletion_policy": "give one of 'delete', 'retain', 'protect'"}),
    ({"backup": {"restore_file": "../other.dump"}}, {"backup.restore_file": "such as 'chat-20260131T030000Z.dump'"}),
    ({"backup": {"bucket": {"uri": "ftp://a/b"}}}, {"backup.bucket.uri": "give s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"}),
    ({"backup": {"bucket": {"uri": "s3://acme/../b"}}}, {"backup.bucket.uri": "give s3://BUCKET/FOLDER"}),
    ({"backup": {"bucket": {**BUCKET, "region": "Frankfurt"}}}, {"backup.bucket.region": "give a region such as"}),
    ({"backup": {"bucket": {**BUCKET, "endpoint": "minio"}}}, {"backup.bucket.endpoint": "give an address such as"}),
    ({"backup": {"bucket": {"uri": "gs://acme/b", "region": "eu"}}}, {"backup.bucket.region": "goes with s3:// only"}),
    (
        {"backup": {"bucket": {**BUCKET, "credentials_secret": "My"}}},
        {"backup.bucket.credentials_secret": "give a Secret's name"},
    ),
    (
        {"backup": {"bucket": {**BUCKET, "identity": {}}}},
        {"backup.bucket.identity": "names nobody", "backup.bucket.credentials_secret": "excludes"},
    ),
    ({"backup": {"bucket": BUCKET, "storage_class": "slow"}}, {"backup.storage_class": "backups go to a bucket; leave one"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG[:14])))
def test_any_two_faults_are_told_together(one: tuple[Any, dict[str, str]], two: tuple[Any, dict[str, str]]) -> None:
    expected = [*two[1], *(one[1] if not one[0].keys() & two[0].keys() else ())]
    assert set(expected) <= refused(**{**one[0], **two[0]}).keys()


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= PostgresDatabaseArgs.__annotations__.keys()


@pytest.mark.parametrize("value", [3, "text", [1], {"a": {"b": 1}}, True, float("nan")])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    for key in PostgresDatabaseArgs.__annotations__.keys() - {"external_url", "external"}:
        assert all(path.startswith((key, "resources")) for path in refused(**{key: value}))
    assert refused(external_url=value)
    assert refused(external=value)


def test_no_error_shows_a_password() -> None:
    assert "hush-hush" not in str(refused(password="hush-hush"))
    assert "hush-hush" not in str(refused(external_url="postgresql://:hush-hush@host"))


def test_a_name_that_no_pod_can_have_is_refused() -> None:
    assert "at most 43" in refused("c" * 44)["name"]
    assert refused("c" * 43, backup={}) == {}


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([PostgresDatabase])["component_definitions"]["PostgresDatabase"]
    assert set(component.inputs_mapping.values()) == PostgresDatabaseArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    outputs = planned(backup={}).of_type("slipway:index:PostgresDatabase")[0].outputs
    assert set(component.outputs_mapping.values()) == outputs.keys()
    assert stateful_set(planned(storage_gib=2.0, max_connections=50.0)) == stateful_set(
        planned(storage_gib=2, max_connections=50)
    )


BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
needs_postgres = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
"""PostgreSQL runs for nobody who is root, and knows its superuser by his name."""
COUNT = "select count(*) from messages"


class Server:
    """The process that the rendered command starts."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, run: Path) -> None:
        self.process, self.port, self.run = process, port, run

    def ask(self, sql: str, *, password: str = PASSWORD, user: str = "app", mode: str = "prefer") -> tuple[int, str]:
        where = f"host=127.0.0.1 port={self.port} user={user} dbname=app sslmode={mode} connect_timeout=5"
        command = [str(BINARIES[-1] / "psql"), "-XAtqw", "-d", where, "-c", sql]
        done = subprocess.run(command, env=environment(password), capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, (done.stdout or done.stderr).strip()

    def probe(self, postgres: dict[str, Any], kind: str) -> int:
        command = [part.replace("--port=5432", f"--port={self.port}") for part in postgres[kind]["exec"]["command"]]
        assert f"--port={self.port}" in command
        return subprocess.run(command, env=environment(PASSWORD), capture_output=True, timeout=10, check=False).returncode

    def told(self) -> dict[str, str]:
        """What leads a backup's container here."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGPASSWORD": PASSWORD, "PATH": environment("")["PATH"]}


def environment(password: str) -> dict[str, str]:
    return {"PATH": f"{BINARIES[-1]}:{os.environ['PATH']}", "PGPASSWORD": password, "LC_ALL": "C.UTF-8"}


@pytest.fixture
def place() -> Generator[Path]:
    """A folder of PostgreSQL's own: pytest's are closed to other users, and a socket's path must be short."""
    # In memory where there is room: a new cluster writes a thousand files, and waits for each to be on the disk.
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 512 * MIB
    with TemporaryDirectory(prefix="pg", dir=memory if room else "/tmp") as folder:
        place = Path(folder)
        for name in ("data", "run", "backups", "scratch"):
            (place / name).mkdir()
        owned(place, *place.iterdir())
        yield place


def owned(*paths: Path) -> None:
    for path in paths:
        if AS_POSTGRES:
            shutil.chown(path, "postgres", "postgres")


def command(postgres: dict[str, Any], place: Path, port: int) -> Sequence[str]:
    """A container's command as a kubelet would start it, but for the port, the folders, and the loopback that tests keep to."""
    script = replaced(postgres["command"][2], "listen_addresses = '*'", "listen_addresses = '127.0.0.1'")
    script = replaced(script, "port = 5432\n", f"port = {port}\n")
    assert "/var/run/postgresql" in script
    script = script.replace("/var/run/postgresql", str(place / "run"))
    script = replaced(script, "/var/lib/postgresql/data", str(place / "data"))
    script = script.replace("/etc/postgresql/tls", str(place / "tls"))
    return [*AS_POSTGRES, *postgres["command"][:2], script]


@contextmanager
def running(postgres: dict[str, Any], place: Path, password: str = PASSWORD) -> Generator[Server]:
    port = free_port()
    log = place / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(command(postgres, place, port), env=environment(password), stdout=out, stderr=out, cwd="/")
    server = Server(process, port, place / "run")
    try:
        until = time.monotonic() + 60
        while server.probe(postgres, "startupProbe"):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@needs_postgres
def test_a_real_postgresql_starts_from_the_rendered_command_and_keeps_its_data(place: Path) -> None:
    postgres = container(planned(password=PASSWORD, max_connections=20, resources={"limits": {"memory": "256Mi"}}))
    assert [e["name"] for e in postgres["env"]] == ["PGPASSWORD"]
    # A start that was cut off is made again.
    half = place / "data" / "pgdata.part" / "PG_VERSION"
    half.parent.mkdir()
    half.write_text("half")
    owned(half.parent, half)
    with running(postgres, place) as server:
        assert not half.exists()
        assert {server.probe(postgres, k) for k in ("startupProbe", "readinessProbe", "livenessProbe")} == {0}
        for password in ("", "another-password"):
            code, told = server.ask("select 1", password=password)
            assert code != 0
            assert "password" in told
        # The superuser has no way in but from the pod.
        assert server.ask("select 1", user="postgres")[0] != 0
        assert server.ask("create table messages (id serial primary key, said text)")[0] == 0
        assert server.ask("insert into messages (said) values ('hello')") == (0, "")
        assert server.ask("create role another")[0] != 0
        assert server.ask("show shared_buffers") == (0, "64MB")
        assert server.ask("show max_connections") == (0, "20")
        assert server.ask("select rolpassword from pg_authid")[0] != 0
        # The shell made way for PostgreSQL, so that Kubernetes' signals reach it.
        assert Path(f"/proc/{server.process.pid}/comm").read_text().strip() == "postgres"
        assert PASSWORD.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        # It ends at once although somebody is connected.
        where = f"host=127.0.0.1 port={server.port} user=app dbname=app"
        psql = [str(BINARIES[-1] / "psql"), "-XAtqw", "-d", where, "-c", "select pg_sleep(60)"]
        with subprocess.Popen(psql, env=environment(PASSWORD), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            time.sleep(0.3)
            stop = postgres["lifecycle"]["preStop"]["exec"]["command"]
            text = replaced(stop[2], "/var/lib/postgresql/data", str(place / "data"))
            subprocess.run([*AS_POSTGRES, *stop[:2], text], check=True, timeout=10)
            assert server.process.wait(15) == 0
    assert not any(PASSWORD.encode() in file.read_bytes() for file in place.rglob("*") if file.is_file())
    # Another password, which its start writes into the database.
    with running(postgres, place, PASSWORD + "2") as server:
        assert server.ask("select said from messages", password=PASSWORD + "2") == (0, "hello")
        assert server.ask("select 1")[0] != 0
        assert server.probe(postgres, "livenessProbe") == 0


@needs_postgres
def test_with_a_certificate_nobody_connects_without_tls(place: Path) -> None:
    tls = place / "tls"
    tls.mkdir()
    key, certificate = tls / "tls.key", tls / "tls.crt"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=chat", "-days", "2"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    owned(tls, key, certificate)
    key.chmod(0o400)
    postgres = container(planned(password=PASSWORD, tls_secret="chat-tls"))
    with running(postgres, place) as server:
        assert server.ask("select ssl from pg_stat_ssl where pid = pg_backend_pid()", mode="require") == (0, "t")
        assert server.ask("select 1", mode="disable")[0] != 0


@needs_postgres
def test_what_the_cronjob_backs_up_the_job_restores_into_an_empty_database(place: Path) -> None:
    plan = planned(password=PASSWORD, backup={"keep": 2})
    backups, scratch = place / "backups", place / "scratch"
    for day in ("01", "02"):
        (backups / f"chat-202001{day}T000000Z.dump").write_bytes(b"old")
    (backups / "another-20200101T000000Z.dump").write_bytes(b"not ours")
    with running(container(plan), place) as server:

        def job(role: str) -> "subprocess.CompletedProcess[str]":
            return run_job(plan, f"chat-{role}", backups, scratch, server.told())

        assert server.ask("create table messages (id serial primary key, said text); create index on messages (said)")[0] == 0
        assert server.ask("insert into messages (said) select 'turn ' || n from generate_series(1, 1000) n")[0] == 0
        done = job("backup")
        assert done.returncode == 0, done.stderr
        kept = sorted(file.name for file in backups.glob("chat-*"))
        assert len(kept) == 2
        assert kept[0] == "chat-20200102T000000Z.dump"
        refusal = job("restore")
        assert refusal.returncode == 1
        assert "into an empty one" in refusal.stderr
        assert server.ask("drop table messages")[0] == 0
        done = job("restore")
        assert done.returncode == 0, done.stderr
        assert server.ask(COUNT) == (0, "1000")
        # The sequence goes on where it was.
        assert server.ask("insert into messages (said) values ('more') returning id") == (0, "1001")
        assert PASSWORD not in done.stdout + done.stderr
        # One that cannot be made leaves those that are.
        before = sorted(file.name for file in backups.iterdir())
        wrong = run_job(plan, "chat-backup", backups, scratch, {**server.told(), "PGPASSWORD": "another-password"})
        assert wrong.returncode != 0
        assert sorted(file.name for file in backups.iterdir()) == before


@needs_postgres
@pytest.mark.skipif(shutil.which("rclone") is None, reason="no rclone on PATH: apt-get install rclone")
def test_backups_go_to_a_bucket_and_come_back_from_there(place: Path) -> None:
    # rclone's own kind "local" stands in for the bucket: the commands are those of the Jobs.
    plan = planned(password=PASSWORD, backup={"keep": 2, "bucket": {"uri": "gs://acme-backups/chat"}})
    backups, scratch, bucket = place / "backups", place / "scratch", place / "bucket"
    bucket.mkdir()
    for day in ("01", "02"):
        (bucket / f"chat-202001{day}T000000Z.dump").write_bytes(b"old")
    (bucket / "another-20200101T000000Z.dump").write_bytes(b"not ours")
    there = {"TARGET": str(bucket), "RCLONE_CONFIG_TARGET_TYPE": "local"}
    with running(container(plan), place) as server:
        assert server.ask("create table messages as select n from generate_series(1, 10) n")[0] == 0
        made = run_job(plan, "chat-backup", backups, scratch, server.told(), which="initContainers")
        assert made.returncode == 0, made.stderr
        brought = run_job(plan, "chat-backup", backups, scratch, there)
        assert brought.returncode == 0, brought.stderr
        kept = sorted(file.name for file in bucket.glob("chat-*"))
        assert len(kept) == 2
        assert kept[0] == "chat-20200102T000000Z.dump"
        assert (bucket / "another-20200101T000000Z.dump").exists()
        for file in backups.iterdir():
            file.unlink()
        assert server.ask("drop table messages")[0] == 0
        fetched = run_job(plan, "chat-restore", backups, scratch, there, which="initContainers")
        assert fetched.returncode == 0, fetched.stderr
        restored = run_job(plan, "chat-restore", backups, scratch, server.told())
        assert restored.returncode == 0, restored.stderr
        assert server.ask(COUNT) == (0, "10")
    for file in [*bucket.iterdir(), *backups.iterdir()]:
        file.unlink()
    nothing = run_job(plan, "chat-restore", backups, scratch, there, which="initContainers")
    assert nothing.returncode == 1
    assert "no backup of chat" in nothing.stderr
