"""A Redis in a cluster for what may be lost: its server, its Service, its password."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import isolate
from slipway.kubernetes.redis_broker import RedisBroker
from slipway.kubernetes.redis_cache_args import RedisCacheArgs, RedisSettings, address_fault, password_fault
from slipway.kubernetes.redis_cache_pod import GRACE_SECONDS, PORT, STARTUP_SECONDS, claim, pod

COMPONENT = "redis"
"""Value of the label `app.kubernetes.io/name` of its pods."""
PASSWORD_KEY = "password"  # noqa: S105 -- the name of a key
URL_KEY = "url"
PASSWORD_REVISION = "slipway/password-revision"  # noqa: S105 -- the name of an annotation
"""Annotation of a pod whose password was given."""

IMAGE_SECONDS = 300
"""For what comes before Redis starts: its image is pulled and its volume attached."""


class RedisCache(pulumi.ComponentResource):
    """One Redis for limits, budgets and other short-lived state, or the address of one that exists.

    Losing it may cost speed or a minute's counting, never a user's data: there is one server, and while its node is replaced
    it is away.
    """

    host: pulumi.Output[str]
    """Name that clients connect to: inside the cluster `NAME.NAMESPACE.svc`."""
    url: pulumi.Output[str]
    """Address with the password in it. Secret."""
    url_secret: pulumi.Output[str]
    """The Secret in the same namespace that has the address under the key `url`, for pods that take it from there: `NAME-url`."""

    def __init__(self, name: str, args: RedisCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = RedisSettings.of(name, args)
        self._name, self._settings = name, settings
        inputs: dict[str, Any] = {**args}
        for key in ("password", "external_url"):
            if inputs.get(key) is not None:
                # A component's own inputs are kept in state too.
                inputs[key] = pulumi.Output.secret(inputs[key])
        super().__init__("slipway:index:RedisCache", name, inputs, opts)
        self._labels = {**restricted.labels(COMPONENT, name), **version_label(settings.image)}
        if settings.external_url is not None:
            self._adopt(settings.external_url)
        else:
            self._run(name, settings)
        self._secret(f"{name}-url", settings, URL_KEY, self.url)
        self.url_secret = pulumi.Output.from_input(f"{name}-url")
        self.register_outputs({"host": self.host, "url": self.url, "url_secret": self.url_secret})

    def broker(self) -> RedisBroker:
        """This Redis as what hands out work, for a WorkerPool in the same namespace.

        Raises:
            pulumi.RunError: it would lose tasks, or is another one's, of which only the address is known.
        """
        settings, cannot = self._settings, f"RedisCache '{self._name}' cannot hand out tasks"
        if settings.external_url is not None:
            raise pulumi.RunError(f"{cannot}: of 'external_url' nothing is known; give the WorkerPool a 'broker' with its 'host'")
        if settings.eviction_policy.value.startswith("allkeys"):
            policy = settings.eviction_policy.value
            raise pulumi.RunError(f"{cannot}: eviction_policy '{policy}' drops tasks when memory is full; give 'noeviction'")
        if not settings.storage_gib:
            raise pulumi.RunError(f"{cannot}: with storage_gib 0 it loses them when it restarts; give 1 or more")
        pods = restricted.selector(COMPONENT, self._name)
        return {
            "host": self.host,
            "password": {"name": f"{self._name}-password", "key": PASSWORD_KEY},
            "egress": {"port": PORT, "pod_labels": pods, "namespace": settings.namespace},
        }

    def _adopt(self, url: pulumi.Input[str]) -> None:
        self.url = pulumi.Output.secret(url).apply(_checked_address)
        # Which server it is is no secret; the rest of the address is.
        self.host = pulumi.Output.unsecret(self.url.apply(lambda address: urlsplit(address).hostname or ""))

    def _run(self, name: str, settings: RedisSettings) -> None:
        pods = restricted.selector(COMPONENT, name)
        self.host = pulumi.Output.concat(name, ".", settings.namespace, ".svc")
        secret, password = self._password(name, settings)
        self.url = pulumi.Output.concat("redis://:", password, "@", self.host, f":{PORT}/0")
        # The address is by the component's own name, so the Service has that and not its logical name.
        service = k8s.core.v1.Service(
            f"{name}-service",
            metadata=self._meta(name, settings, {"pulumi.com/skipAwait": "true"}),
            spec={"selector": pods, "ports": [{"name": "redis", "port": PORT, "target_port": "redis", "protocol": "TCP"}]},
            opts=pulumi.ResourceOptions(parent=self),
        )
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=self._meta(f"{name}-account", settings),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        closed = isolate(pods, PORT, settings.allow_from, [])
        # Redis connects to nobody, not even to DNS.
        closed.pop("egress", None)
        policy = k8s.networking.v1.NetworkPolicy(
            f"{name}-network",
            metadata=self._meta(f"{name}-network", settings),
            spec=closed,
            opts=pulumi.ResourceOptions(parent=self),
        )
        about: k8s.meta.v1.ObjectMetaArgsDict = {"labels": self._labels}
        if settings.password is not None:
            # A changed password must restart the server, which reads it only then. 24 bits tell a change, and no password.
            revision = password.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:6])
            about["annotations"] = {PASSWORD_REVISION: pulumi.Output.unsecret(revision)}
        spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
            "service_name": name,
            "replicas": 1,
            "selector": {"match_labels": pods},
            "template": {
                "metadata": about,
                "spec": pod(settings, f"{name}-account", f"{name}-password", PASSWORD_KEY),
            },
        }
        if settings.storage_gib:
            kept = "Retain" if settings.deletion_policy.keeps else "Delete"
            spec["persistent_volume_claim_retention_policy"] = {"when_deleted": kept, "when_scaled": "Retain"}
            spec["volume_claim_templates"] = [claim(settings)]
        patience = f"{GRACE_SECONDS + STARTUP_SECONDS + IMAGE_SECONDS}s"
        k8s.apps.v1.StatefulSet(
            f"{name}-redis",
            metadata=self._meta(f"{name}-redis", settings),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[secret, service, account, policy],
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
                protect=True if settings.deletion_policy is DeletionPolicy.PROTECT else None,
            ),
        )

    def _password(self, name: str, settings: RedisSettings) -> tuple[k8s.core.v1.Secret, pulumi.Output[str]]:
        """The Secret with the password, and what stands in it."""
        given = settings.password
        if given is not None:
            password = pulumi.Output.secret(given).apply(_checked_password)
            return self._secret(f"{name}-password", settings, PASSWORD_KEY, password), password
        # Made anew on each run and, but for the first, ignored: what was made first is in the Secret, and is read from there.
        made = pulumi.Output.secret(secrets.token_urlsafe(32))
        secret = self._secret(f"{name}-password", settings, PASSWORD_KEY, made, once=True)
        return secret, pulumi.Output.secret(secret.data.apply(lambda held: base64.b64decode(held[PASSWORD_KEY]).decode()))

    def _secret(
        self, object_name: str, settings: RedisSettings, key: str, value: pulumi.Output[str], *, once: bool = False
    ) -> k8s.core.v1.Secret:
        return k8s.core.v1.Secret(
            object_name,
            metadata=self._meta(object_name, settings),
            # Not `string_data`, which is no part of what the cluster keeps.
            data={key: value.apply(lambda text: base64.b64encode(text.encode()).decode())},
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["data"] if once else None),
        )

    def _meta(
        self, object_name: str, settings: RedisSettings, annotations: Mapping[str, str] | None = None
    ) -> k8s.meta.v1.ObjectMetaArgsDict:
        made: k8s.meta.v1.ObjectMetaArgsDict = {"name": object_name, "namespace": settings.namespace, "labels": self._labels}
        return {**made, "annotations": annotations} if annotations else made


def _checked_password(password: str) -> str:
    """For a password that another resource makes: Redis would print one that it cannot read into its log."""
    if fault := password_fault(password):
        raise pulumi.RunError(f"RedisCache: args.password {fault}")
    return password


def _checked_address(url: str) -> str:
    if fault := address_fault(url):
        raise pulumi.RunError(f"RedisCache: args.external_url {fault}")
    return url
