"""A PostgreSQL in a cluster for what must not be lost, such as the history of chats: its server, its password, its backups."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import pulumi

from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.backup_jobs import backup_peer, declare_backups
from slipway.kubernetes.data_store import DataStore, secret_inputs, server_egress
from slipway.kubernetes.external_endpoint import external_egress
from slipway.kubernetes.observability.workload import WatchedWorkload, store_workload
from slipway.kubernetes.postgres_database_args import (
    PostgresDatabaseArgs,
    PostgresSettings,
    address_fault,
    password_fault,
)
from slipway.kubernetes.postgres_database_pod import GRACE_SECONDS, PORT, STARTUP_SECONDS, backup_tool, pod

COMPONENT = "postgres"
"""Value of the label `app.kubernetes.io/name` of its pods."""
PASSWORD_KEY = "password"  # noqa: S105 -- the name of a key
URL_KEY = "url"


class PostgresDatabase(pulumi.ComponentResource):
    """One PostgreSQL with one database and its owner, or the address of one that exists.

    There is one server: while its node is replaced it is away, and what is newer than the last backup is on one volume. Where
    that is too little, give the address of a database that your cloud runs.
    """

    host: pulumi.Output[str]
    """Name that clients connect to: inside the cluster `NAME.NAMESPACE.svc`."""
    url: pulumi.Output[str | None]
    """Address with user and password in it. Secret. `None` where `external` says which Secret has it."""
    url_secret: pulumi.Output[str]
    """The Secret in the same namespace that has the address, for pods to take it from: `NAME-url`, or that of `external`."""
    url_key: pulumi.Output[str]
    """Key of that Secret: `url`, or that of `external`."""
    restore_command: pulumi.Output[str | None]
    """What restores a backup, for a shell with kubectl. `None` without `backup`."""

    def __init__(self, name: str, args: PostgresDatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = PostgresSettings.of(name, args)
        self._name, self._settings = name, settings
        super().__init__("slipway:index:PostgresDatabase", name, secret_inputs(args, "password", "external_url"), opts)
        external = settings.external
        store = DataStore(self, COMPONENT, name, settings.store.namespace, settings.store.image)
        self._reference: SecretKeyRef = {"name": f"{name}-url", "key": URL_KEY}
        self._egress = external_egress(PORT)
        self.restore_command = pulumi.Output.from_input(None)
        if external is not None:
            self.host, self.url = pulumi.Output.from_input(external["host"]), pulumi.Output.from_input(None)
            self._reference, self._egress = external["secret"], external_egress(external.get("port", PORT))
        else:
            url = self._run(store, settings) if settings.external_url is None else self._adopt(settings.external_url)
            store.secret(f"{name}-url", {URL_KEY: url})
            self.url = url.apply(lambda text: text)
        self.url_secret = pulumi.Output.from_input(self._reference["name"])
        self.url_key = pulumi.Output.from_input(self._reference["key"])
        self.register_outputs(
            {
                "host": self.host,
                "url": self.url,
                "url_secret": self.url_secret,
                "url_key": self.url_key,
                "restore_command": self.restore_command,
            }
        )

    def watched(self) -> WatchedWorkload:
        """As an ObservabilityStack needs to know it, for its `workloads`.

        Raises:
            pulumi.RunError: somebody else runs it.
        """
        settings = self._settings
        elsewhere = settings.external is not None or settings.external_url is not None
        return store_workload("PostgresDatabase", self._name, "postgres", settings.store, elsewhere=elsewhere)

    def env(self, variable: str = "DATABASE_URL") -> Mapping[str, SecretKeyRef]:
        """The address as an environment variable, for `env_from_secrets` of what asks it."""
        return {variable: self._reference}

    def egress(self) -> Sequence[Egress]:
        """How a network policy lets a pod out to it."""
        return self._egress

    def _adopt(self, given: pulumi.Input[str]) -> pulumi.Output[str]:
        url = pulumi.Output.secret(given).apply(_checked_address)
        # Which server it is is no secret; the rest of the address is.
        self.host = pulumi.Output.unsecret(url.apply(lambda address: urlsplit(address).hostname or ""))
        if isinstance(given, str):
            self._egress = external_egress(urlsplit(given).port or PORT)
        return url

    def _run(self, store: DataStore, settings: PostgresSettings) -> pulumi.Output[str]:
        name, backup = store.name, settings.store.backup
        self.host, self._egress = store.host, server_egress(store, PORT)
        secret, password = store.password(settings.password, PASSWORD_KEY, _checked_password)
        allowed = [*settings.store.allow_from, *([backup_peer(store)] if backup else [])]
        before = [secret, *store.surroundings({"postgres": PORT}, {PORT: allowed})]
        server = store.server(
            "postgres",
            settings.store,
            pod(settings, f"{name}-account", f"{name}-password", PASSWORD_KEY),
            before=before,
            seconds=GRACE_SECONDS + STARTUP_SECONDS,
            # Its start writes the password into the database.
            restart_on=password if settings.password is not None else None,
        )
        if backup is not None:
            tool = backup_tool(settings, self.host, f"{name}-password", PASSWORD_KEY)
            self.restore_command = declare_backups(store, backup, tool, PORT, server)
        mode = "" if settings.tls_secret is None else "?sslmode=require"
        at = f":{PORT}/{settings.database}{mode}"
        return pulumi.Output.concat(f"postgresql://{settings.user}:", password, "@", self.host, at)


def _checked_password(password: str) -> str:
    """For a password that another resource makes."""
    if fault := password_fault(password):
        raise pulumi.RunError(f"PostgresDatabase: args.password {fault}")
    return password


def _checked_address(url: str) -> str:
    if fault := address_fault(url):
        raise pulumi.RunError(f"PostgresDatabase: args.external_url {fault}")
    return url
