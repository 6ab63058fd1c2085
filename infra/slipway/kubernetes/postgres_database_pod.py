"""The pod of a PostgresDatabase: its configuration, how it starts and ends, and how its backups are made."""

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.backup_jobs import BackupTool
from slipway.kubernetes.backups import script
from slipway.kubernetes.data_store import store_pod
from slipway.kubernetes.postgres_database_args import SUFFIX, PostgresSettings

PORT = 5432
USER = 999
"""User of the official image on Debian."""
DATA = "/var/lib/postgresql/data"
RUN = "/var/run/postgresql"
"""For the socket and the configuration."""
CERTIFICATE = "/etc/postgresql/tls"
GRACE_SECONDS = 120
"""For the last checkpoint, which writes all buffers that were changed."""
STARTUP_SECONDS = 1800
"""How long it may replay what a crash left, before it counts as dead."""


def configuration(settings: PostgresSettings) -> str:
    """postgresql.conf."""
    memory = settings.memory
    lines = [
        "listen_addresses = '*'",
        f"port = {PORT}",
        f"unix_socket_directories = '{RUN}'",
        f"hba_file = '{RUN}/pg_hba.conf'",
        f"max_connections = {settings.max_connections}",
        f"shared_buffers = {memory.shared_buffers_mib}MB",
        f"effective_cache_size = {memory.effective_cache_size_mib}MB",
        f"work_mem = {memory.work_mem_kib}kB",
        f"maintenance_work_mem = {memory.maintenance_work_mem_mib}MB",
        # Where a node has some and the pod asked for none, the first touch would kill it.
        "huge_pages = off",
        "password_encryption = 'scram-sha-256'",
        "log_timezone = 'UTC'",
        "timezone = 'UTC'",
    ]
    if settings.tls_secret is not None:
        lines += [
            "ssl = on",
            "ssl_min_protocol_version = 'TLSv1.2'",
            f"ssl_cert_file = '{CERTIFICATE}/tls.crt'",
            f"ssl_key_file = '{CERTIFICATE}/tls.key'",
        ]
    return "\n".join(lines)


def access(settings: PostgresSettings) -> str:
    """pg_hba.conf: the superuser from within the pod, the owner with his password to his database, and nobody else."""
    kind = "host" if settings.tls_secret is None else "hostssl"
    rules = ["local all postgres peer"]
    rules += [f"{kind} {settings.database} {settings.user} {addresses} scram-sha-256" for addresses in ("0.0.0.0/0", "::/0")]
    return "\n".join(rules)


def start(settings: PostgresSettings) -> str:
    """How it is started: a cluster is made where there is none, and user, database and password are as they were asked for.

    PostgreSQL alone, without a port, does that by standard input, so that the password, which comes from the environment, is on
    no command line. What is made gets its name only when it is whole.
    """
    missing = f"IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{settings.user}')"
    role = rf'DO \$\$ BEGIN {missing} THEN CREATE ROLE "{settings.user}"; END IF; END \$\$'
    return f"""set -eu
umask 077
cat >{RUN}/postgresql.conf <<'CONF'
{configuration(settings)}
CONF
cat >{RUN}/pg_hba.conf <<'CONF'
{access(settings)}
CONF
data={DATA}/pgdata
alone() {{
  postgres --single -D "$data" -c config_file={RUN}/postgresql.conf -c exit_on_error=on -c log_min_messages=warning postgres
}}
if [ ! -s "$data/PG_VERSION" ]; then
  rm -rf "$data.part"
  initdb --pgdata="$data.part" --username=postgres --auth-local=peer --auth-host=reject --encoding=UTF8 --locale=C.UTF-8 \\
    --data-checksums --no-instructions
  mv "$data.part" "$data"
fi
alone >/dev/null <<SQL
{role}
ALTER ROLE "{settings.user}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '$PGPASSWORD'
SQL
if ! echo "SELECT datname FROM pg_database" | alone | grep -q 'datname = "{settings.database}"'; then
  echo 'CREATE DATABASE "{settings.database}" OWNER "{settings.user}"' | alone >/dev/null
fi
unset PGPASSWORD
exec postgres -D "$data" -c config_file={RUN}/postgresql.conf
"""  # noqa: S608 -- of names that were checked


def pod(settings: PostgresSettings, account: str, secret: str, key: str) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        account: Name of the ServiceAccount.
        secret: Name of the Secret with the password.
        key: Key within it.
    """
    # It answers as long as it can take connections, even where all are taken.
    ready = ["pg_isready", "--host=127.0.0.1", f"--port={PORT}", f"--username={settings.user}", f"--dbname={settings.database}"]
    probe: k8s.core.v1.ProbeArgsDict = {"exec_": {"command": ready}, "timeout_seconds": 5}
    # SIGTERM would wait for every client to go; SIGINT lets them go now (PostgreSQL 17, 18.5).
    stop = ["sh", "-c", f'kill -INT "$(head -n 1 {DATA}/pgdata/postmaster.pid)"']
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [
        {"name": "data", "mount_path": DATA},
        {"name": "run", "mount_path": RUN},
        {"name": "shm", "mount_path": "/dev/shm"},  # noqa: S108 -- a mount
    ]
    container: k8s.core.v1.ContainerArgsDict = {
        "name": "postgres",
        "image": settings.store.image,
        "command": ["sh", "-c", start(settings)],
        "env": [password_env(secret, key)],
        "ports": [{"name": "postgres", "container_port": PORT, "protocol": "TCP"}],
        "startup_probe": {**probe, "period_seconds": 5, "failure_threshold": STARTUP_SECONDS // 5},
        "readiness_probe": {**probe, "period_seconds": 5, "failure_threshold": 3},
        "liveness_probe": {**probe, "period_seconds": 10, "failure_threshold": 6},
        "lifecycle": {"pre_stop": {"exec_": {"command": stop}}},
        "volume_mounts": mounts,
    }
    volumes: list[k8s.core.v1.VolumeArgsDict] = [
        {"name": "run", "empty_dir": {"medium": "Memory", "size_limit": "1Mi"}},
        # Parallel queries share their hash tables there; a runtime gives 64 MiB, and PostgreSQL fails beyond.
        {"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": f"{max(64, settings.memory.shared_buffers_mib)}Mi"}},
    ]
    if settings.tls_secret is not None:
        # PostgreSQL takes a key of root's that its group may read, and no other.
        volumes.append({"name": "tls", "secret": {"secret_name": settings.tls_secret, "default_mode": 0o440}})
        mounts.append({"name": "tls", "mount_path": CERTIFICATE, "read_only": True})
    spec = store_pod(settings.store, account, USER, GRACE_SECONDS, container)
    spec["volumes"] = volumes
    return spec


def backup_tool(settings: PostgresSettings, host: pulumi.Input[str], secret: str, key: str) -> BackupTool:
    """How backups are made: by pg_dump, in its own format."""
    env: list[k8s.core.v1.EnvVarArgsDict] = [
        {"name": "PGHOST", "value": host},
        {"name": "PGPORT", "value": str(PORT)},
        {"name": "PGUSER", "value": settings.user},
        {"name": "PGDATABASE", "value": settings.database},
        {"name": "PGCONNECT_TIMEOUT", "value": "30"},
        {"name": "PGSSLMODE", "value": "prefer" if settings.tls_secret is None else "require"},
        password_env(secret, key),
    ]
    return BackupTool(settings.store.image, USER, script("postgres.sh"), SUFFIX, env, "1Gi")


def password_env(secret: str, key: str) -> k8s.core.v1.EnvVarArgsDict:
    """The password as PostgreSQL's own tools look for it."""
    return {"name": "PGPASSWORD", "value_from": {"secret_key_ref": {"name": secret, "key": key}}}
