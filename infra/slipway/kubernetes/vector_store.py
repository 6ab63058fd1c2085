"""A vector store in a cluster: Qdrant or Chroma, with its key, its volume and its backups."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import pulumi

from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.backup_jobs import backup_peer, declare_backups
from slipway.kubernetes.data_store import DataStore, secret_inputs, server_egress
from slipway.kubernetes.external_endpoint import external_egress
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.workload import WatchedWorkload, store_workload
from slipway.kubernetes.vector_store_args import VectorSettings, VectorStoreArgs, key_fault, url_fault
from slipway.kubernetes.vector_store_pod import GRACE_SECONDS, STARTUP_SECONDS, backup_tool, pod

COMPONENT = "vector-store"
"""Value of the label `app.kubernetes.io/name` of its pods."""
API_KEY = "api-key"
"""Key of the Secret."""


class VectorStore(pulumi.ComponentResource):
    """One vector store for embeddings, or the address of one that exists.

    There is one server: while its node is replaced it is away, and the volume comes back with it.
    """

    url: pulumi.Output[str]
    """Base address, such as `http://docs.ai.svc:6333`."""
    host: pulumi.Output[str]
    """Name that clients connect to."""
    api_key_secret: pulumi.Output[str | None]
    """The Secret in the same namespace that has the API key: `NAME-api-key`, or that of `external_api_key`. `None` where there is
    no key."""
    api_key_key: pulumi.Output[str | None]
    """Key of that Secret: `api-key`, or that of `external_api_key`."""
    restore_command: pulumi.Output[str | None]
    """What restores a backup, for a shell with kubectl. `None` without `backup`."""

    def __init__(self, name: str, args: VectorStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = VectorSettings.of(name, args)
        self._name, self._settings = name, settings
        super().__init__("slipway:index:VectorStore", name, secret_inputs(args, "api_key"), opts)
        self._store = DataStore(self, COMPONENT, name, settings.store.namespace, settings.store.image)
        self._reference: SecretKeyRef | None = settings.external_api_key
        self._egress: Sequence[Egress] = external_egress(443)
        self.restore_command = pulumi.Output.from_input(None)
        if settings.external_url is not None:
            self.url = pulumi.Output.from_input(settings.external_url).apply(_checked_url)
            self.host = self.url.apply(lambda url: urlsplit(url).hostname or "")
            if isinstance(settings.external_url, str):
                self._egress = external_egress(_port(settings.external_url))
            if settings.api_key is not None:
                self._make_key(settings)
        else:
            self.host = self._store.host
            self.url = pulumi.Output.concat("http://", self.host, f":{settings.facts.ports['http']}")
            self._run(settings)
        known = self._reference
        self.api_key_secret = pulumi.Output.from_input(known["name"] if known is not None else None)
        self.api_key_key = pulumi.Output.from_input(known["key"] if known is not None else None)
        self.register_outputs(
            {
                "url": self.url,
                "host": self.host,
                "api_key_secret": self.api_key_secret,
                "api_key_key": self.api_key_key,
                "restore_command": self.restore_command,
            }
        )

    def watched(self) -> WatchedWorkload:
        """As an ObservabilityStack needs to know it, for its `workloads`.

        Raises:
            pulumi.RunError: somebody else runs it.
        """
        settings = self._settings
        return store_workload("VectorStore", self._name, "store", settings.store, elsewhere=settings.external_url is not None)

    def env(self, variable: str = "QDRANT_API_KEY") -> Mapping[str, SecretKeyRef]:
        """The API key as an environment variable, for `env_from_secrets` of what asks it; empty where there is no key."""
        return {} if self._reference is None else {variable: self._reference}

    def egress(self) -> Sequence[Egress]:
        """How a network policy lets a pod out to it. Of an `external_url` that another resource makes, to port 443."""
        return self._egress

    def _run(self, settings: VectorSettings) -> None:
        store, ports, backup = self._store, settings.facts.ports, settings.store.backup
        port = ports["http"]
        self._egress = [way for each in ports.values() for way in server_egress(store, each)]
        secret, api_key = self._make_key(settings) if settings.facts.keyed else (None, None)
        key = None if secret is None else (f"{store.name}-{API_KEY}", API_KEY)
        allowed: dict[int, Sequence[Peer]] = dict.fromkeys(ports.values(), settings.store.allow_from)
        if backup is not None:
            allowed[port] = [*settings.store.allow_from, backup_peer(store)]
        before = [*([secret] if secret is not None else []), *store.surroundings(ports, allowed)]
        server = store.server(
            "store",
            settings.store,
            pod(settings, f"{store.name}-account", key),
            before=before,
            seconds=GRACE_SECONDS + STARTUP_SECONDS,
            # It reads its key only when it starts.
            restart_on=api_key if settings.api_key is not None else None,
        )
        if backup is not None:
            self.restore_command = declare_backups(store, backup, backup_tool(settings, self.url, key), port, server)

    def _make_key(self, settings: VectorSettings) -> tuple[pulumi.Resource, pulumi.Output[str]]:
        """The Secret with the API key, which is then the one that clients are told of."""
        self._reference = {"name": f"{self._store.name}-{API_KEY}", "key": API_KEY}
        return self._store.password(settings.api_key, API_KEY, _checked_key)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _checked_key(key: str) -> str:
    if fault := key_fault(key):
        raise pulumi.RunError(f"VectorStore: args.api_key {fault}")
    return key


def _checked_url(url: str) -> str:
    if fault := url_fault(url):
        raise pulumi.RunError(f"VectorStore: args.external_url {fault}")
    return url.rstrip("/")
