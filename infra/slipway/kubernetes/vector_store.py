"""A vector store in a cluster: Qdrant or Chroma, with its key, its volume and its backups."""

import hashlib
import secrets
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted, vector_backup
from slipway.kubernetes.data_store import IMAGE_SECONDS, SKIP_AWAIT, DataStore, secret_inputs, volume
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.network import Peer, isolate, opened
from slipway.kubernetes.vector_store_args import BackupSettings, VectorSettings, VectorStoreArgs, key_fault, url_fault
from slipway.kubernetes.vector_store_pod import GRACE_SECONDS, STARTUP_SECONDS, pod

COMPONENT = "vector-store"
"""Value of the label `app.kubernetes.io/name` of its pods."""
BACKUP_COMPONENT = "vector-store-backup"
"""The same for those that back it up."""
API_KEY = "api-key"
"""Key of the Secret."""
KEY_REVISION = "slipway/api-key-revision"
"""Annotation of a pod whose key was given."""


class VectorStore(pulumi.ComponentResource):
    """One vector store for embeddings, or the address of one that exists.

    There is one server: while its node is replaced it is away, and the volume comes back with it.
    """

    url: pulumi.Output[str]
    """Base address, such as `http://docs.ai.svc:6333`."""
    host: pulumi.Output[str]
    """Name that clients connect to."""
    api_key_secret: pulumi.Output[str | None]
    """The Secret in the same namespace that has the API key under `api-key`: `NAME-api-key`. `None` where there is no key."""

    def __init__(self, name: str, args: VectorStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = VectorSettings.of(name, args)
        super().__init__("slipway:index:VectorStore", name, secret_inputs(args, "api_key"), opts)
        self._name, self._settings = name, settings
        self._store = DataStore(self, COMPONENT, name, settings.namespace, settings.image)
        secret = self._key()
        if settings.external_url is not None:
            self.url = pulumi.Output.from_input(settings.external_url).apply(_checked_url)
            self.host = self.url.apply(lambda url: urlsplit(url).hostname or "")
        else:
            self.host = self._store.host
            self.url = pulumi.Output.concat("http://", self.host, f":{settings.facts.ports['http']}")
            self._run(secret)
        self.api_key_secret = pulumi.Output.from_input(f"{name}-api-key" if secret is not None else None)
        self.register_outputs({"url": self.url, "host": self.host, "api_key_secret": self.api_key_secret})

    def _run(self, secret: k8s.core.v1.Secret | None) -> None:
        name, settings = self._name, self._settings
        store, ports = self._store, settings.facts.ports
        # The address is by the component's own name, so the Service has that and not its logical name.
        service = k8s.core.v1.Service(
            f"{name}-service",
            metadata=store.meta(name, SKIP_AWAIT),
            spec={
                "selector": store.pods,
                "ports": [{"name": n, "port": port, "target_port": n, "protocol": "TCP"} for n, port in ports.items()],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        account = store.account(f"{name}-account")
        backs_up: list[Peer] = [{"pod_labels": restricted.selector(BACKUP_COMPONENT, name)}] if settings.backup else []
        allowed = {port: [*settings.allow_from, *(backs_up if n == "http" else [])] for n, port in ports.items()}
        closed = opened(store.pods, allowed, [])
        # It connects to nobody, not even to DNS.
        closed.pop("egress", None)
        policy = store.policy(f"{name}-network", closed)
        about: k8s.meta.v1.ObjectMetaArgsDict = {"labels": store.labels}
        if settings.api_key is not None:
            # A changed key must restart the server, which reads it only then. 24 bits tell a change, and no key.
            revision = pulumi.Output.from_input(settings.api_key).apply(lambda k: hashlib.sha256(k.encode()).hexdigest()[:6])
            about["annotations"] = {KEY_REVISION: pulumi.Output.unsecret(revision)}
        kept = "Retain" if settings.deletion_policy.keeps else "Delete"
        patience = f"{GRACE_SECONDS + STARTUP_SECONDS + IMAGE_SECONDS}s"
        k8s.apps.v1.StatefulSet(
            f"{name}-store",
            metadata=store.meta(f"{name}-store"),
            spec={
                "service_name": name,
                "replicas": 1,
                "selector": {"match_labels": store.pods},
                "template": {"metadata": about, "spec": pod(settings, f"{name}-account", self._reference(secret))},
                "persistent_volume_claim_retention_policy": {"when_deleted": kept, "when_scaled": "Retain"},
                "volume_claim_templates": [
                    {"metadata": {"name": "data"}, "spec": volume(settings.storage_gib, settings.storage_class)}
                ],
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[service, account, policy, *([secret] if secret is not None else [])],
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
                protect=True if settings.deletion_policy is DeletionPolicy.PROTECT else None,
            ),
        )
        if settings.backup is not None:
            self._back_up(settings.backup, account, secret)

    def _back_up(self, backup: BackupSettings, account: k8s.core.v1.ServiceAccount, secret: k8s.core.v1.Secret | None) -> None:
        name, settings = self._name, self._settings
        jobs = DataStore(self, BACKUP_COMPONENT, name, settings.namespace)
        port = settings.facts.ports["http"]
        spec = isolate(jobs.pods, port, [], [{"port": port, "pod_labels": self._store.pods}])
        policy = jobs.policy(f"{name}-backup-network", spec)
        claim = k8s.core.v1.PersistentVolumeClaim(
            f"{name}-backups",
            # It is bound when the first backup is made.
            metadata=jobs.meta(f"{name}-backups", SKIP_AWAIT),
            spec=volume(backup.gib, backup.storage_class),
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=settings.deletion_policy.keeps,
                protect=True if settings.deletion_policy is DeletionPolicy.PROTECT else None,
            ),
        )
        for what in ("backup", "restore"):
            k8s.batch.v1.CronJob(
                f"{name}-{what}",
                metadata=jobs.meta(f"{name}-{what}"),
                spec=vector_backup.job(
                    settings,
                    backup,
                    what,
                    url=f"http://{name}:{port}",
                    labels=jobs.labels,
                    account=f"{name}-account",
                    claim=f"{name}-backups",
                    key=self._reference(secret),
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, claim, account]),
            )

    def _key(self) -> k8s.core.v1.Secret | None:
        """The Secret with the API key, where there is one."""
        settings, once = self._settings, False
        if settings.api_key is not None:
            key = pulumi.Output.secret(settings.api_key).apply(_checked_key)
        elif settings.external_url is not None or not settings.facts.keyed:
            return None
        else:
            # Made anew on each run and, but for the first, ignored: what was made first is in the Secret.
            key, once = pulumi.Output.secret(secrets.token_urlsafe(32)), True
        return self._store.secret(f"{self._name}-api-key", {API_KEY: key}, once=once)

    def _reference(self, secret: k8s.core.v1.Secret | None) -> tuple[str, str] | None:
        return (f"{self._name}-api-key", API_KEY) if secret is not None else None


def _checked_key(key: str) -> str:
    if fault := key_fault(key):
        raise pulumi.RunError(f"VectorStore: args.api_key {fault}")
    return key


def _checked_url(url: str) -> str:
    if fault := url_fault(url):
        raise pulumi.RunError(f"VectorStore: args.external_url {fault}")
    return url.rstrip("/")
