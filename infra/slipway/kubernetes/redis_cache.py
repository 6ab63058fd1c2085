"""A Redis in a cluster for what may be lost: its server, its Service, its password."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import pulumi

from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.backup_jobs import backup_peer, declare_backups
from slipway.kubernetes.data_store import DataStore, secret_inputs, server_egress
from slipway.kubernetes.external_endpoint import external_egress
from slipway.kubernetes.observability.workload import WatchedWorkload, store_workload
from slipway.kubernetes.redis_broker import RedisBroker
from slipway.kubernetes.redis_cache_args import RedisCacheArgs, RedisSettings, address_fault, password_fault
from slipway.kubernetes.redis_cache_pod import GRACE_SECONDS, PORT, STARTUP_SECONDS, backup_tool, pod

COMPONENT = "redis"
"""Value of the label `app.kubernetes.io/name` of its pods."""
PASSWORD_KEY = "password"  # noqa: S105 -- the name of a key
URL_KEY = "url"


class RedisCache(pulumi.ComponentResource):
    """One Redis for limits, budgets and other short-lived state, or the address of one that exists.

    Losing it may cost speed or a minute's counting, never a user's data: there is one server, and while its node is replaced
    it is away.
    """

    host: pulumi.Output[str]
    """Name that clients connect to: inside the cluster `NAME.NAMESPACE.svc`."""
    url: pulumi.Output[str | None]
    """Address with the password in it. Secret. `None` where `external` says which Secret has it."""
    url_secret: pulumi.Output[str]
    """The Secret in the same namespace that has the address, for pods to take it from: `NAME-url`, or that of `external`."""
    url_key: pulumi.Output[str]
    """Key of that Secret: `url`, or that of `external`."""
    restore_command: pulumi.Output[str | None]
    """What restores a backup, for a shell with kubectl. `None` without `backup`."""

    def __init__(self, name: str, args: RedisCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = RedisSettings.of(name, args)
        self._name, self._settings = name, settings
        super().__init__("slipway:index:RedisCache", name, secret_inputs(args, "password", "external_url"), opts)
        external, image = settings.external, settings.store.image
        store = DataStore(self, COMPONENT, name, settings.store.namespace, image)
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

    def broker(self) -> RedisBroker:
        """This Redis as what hands out work, for a WorkerPool in the same namespace.

        Raises:
            pulumi.RunError: it would lose tasks, or is another one's, of which only the address is known.
        """
        settings, cannot = self._settings, f"RedisCache '{self._name}' cannot hand out tasks"
        for key, given in (("external_url", settings.external_url), ("external", settings.external)):
            if given is not None:
                raise pulumi.RunError(f"{cannot}: of '{key}' nothing is known; give the WorkerPool a 'broker' with its 'host'")
        if settings.eviction_policy.value.startswith("allkeys"):
            policy = settings.eviction_policy.value
            raise pulumi.RunError(f"{cannot}: eviction_policy '{policy}' drops tasks when memory is full; give 'noeviction'")
        if not settings.store.storage_gib:
            raise pulumi.RunError(f"{cannot}: with storage_gib 0 it loses them when it restarts; give 1 or more")
        return {
            "host": self.host,
            "password": {"name": f"{self._name}-password", "key": PASSWORD_KEY},
            "egress": self._egress[0],
            "closed": True,
        }

    def watched(self) -> WatchedWorkload:
        """As an ObservabilityStack needs to know it, for its `workloads`.

        Raises:
            pulumi.RunError: somebody else runs it.
        """
        settings = self._settings
        elsewhere = settings.external is not None or settings.external_url is not None
        return store_workload("RedisCache", self._name, "redis", settings.store, elsewhere=elsewhere)

    def env(self, variable: str = "REDIS_URL") -> Mapping[str, SecretKeyRef]:
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

    def _run(self, store: DataStore, settings: RedisSettings) -> pulumi.Output[str]:
        name, backup = store.name, settings.store.backup
        self.host, self._egress = store.host, server_egress(store, PORT)
        secret, password = store.password(settings.password, PASSWORD_KEY, _checked_password)
        allowed = [*settings.store.allow_from, *([backup_peer(store)] if backup else [])]
        before = [secret, *store.surroundings({"redis": PORT}, {PORT: allowed})]
        server = store.server(
            "redis",
            settings.store,
            pod(settings, f"{name}-account", f"{name}-password", PASSWORD_KEY),
            before=before,
            seconds=GRACE_SECONDS + STARTUP_SECONDS,
            # It reads its password only when it starts.
            restart_on=password if settings.password is not None else None,
        )
        if backup is not None:
            tool = backup_tool(settings, self.host, f"{name}-password", PASSWORD_KEY)
            self.restore_command = declare_backups(store, backup, tool, PORT, server)
        return pulumi.Output.concat("redis://:", password, "@", self.host, f":{PORT}/0")


def _checked_password(password: str) -> str:
    """For a password that another resource makes: Redis would print one that it cannot read into its log."""
    if fault := password_fault(password):
        raise pulumi.RunError(f"RedisCache: args.password {fault}")
    return password


def _checked_address(url: str) -> str:
    if fault := address_fault(url):
        raise pulumi.RunError(f"RedisCache: args.external_url {fault}")
    return url
