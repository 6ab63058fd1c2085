"""The router as a service in a cluster: scaled, spread, closed off, and changed without cutting a stream."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import router_config
from slipway.kubernetes import external_secrets, http_route, router_pod
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs
from slipway.kubernetes.ai_api_service_settings import Release, Resolved, keys_secret
from slipway.kubernetes.ai_namespace_args import PodSecurityLevel, pod_security_labels
from slipway.kubernetes.exposure import expose_by_ingress, expose_by_route, public_urls
from slipway.kubernetes.federation import GOOGLE_FILE, google_file
from slipway.kubernetes.identity import account_annotations, associate
from slipway.kubernetes.mesh_pods import MeshKind, account_of, kind_of
from slipway.kubernetes.mesh_service import MeshService
from slipway.kubernetes.observability.watched import WatchedService
from slipway.kubernetes.restricted import labels, selector
from slipway.kubernetes.router_identity import make_identity
from slipway.kubernetes.router_redis import asks_for_keys
from slipway.kubernetes.router_release import APP, deploy
from slipway.kubernetes.router_watched import watched_router
from slipway_router.steadiness import Retries


class AiApiService(pulumi.ComponentResource):
    """The router, as many times as the load asks for, in front of models wherever they run.

    Its configuration is an immutable ConfigMap named by its content, so that a change rolls new replicas out and an old
    one keeps what it started with. Earlier ones stay in the cluster, for `kubectl rollout undo`; they carry the label
    `app.kubernetes.io/instance` with this service's name, to be found and deleted by.
    """

    url: pulumi.Output[str]
    """Address inside the cluster: `http://NAME.NAMESPACE.svc`, to which clients add `/v1`."""
    public_urls: pulumi.Output[list[str]]
    """Addresses from outside, by `ingress` and `http_route`: `https://HOST`, to which clients add `/v1`."""
    service_name: pulumi.Output[str]
    """Name of the Service: this resource's own name."""
    config_name: pulumi.Output[str]
    """Name of the ConfigMap that new replicas read: `NAME-config-`, then 10 digits of the content's SHA-256."""

    def __init__(self, name: str, args: AiApiServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        resolved = Resolved.of(name, args)
        self._name, self._resolved = name, resolved
        super().__init__("slipway:index:AiApiService", name, {**args}, opts)
        given = resolved.args
        namespace = given["namespace"]

        def meta(
            full_name: pulumi.Input[str], annotations: Mapping[str, pulumi.Input[str]] | None = None
        ) -> k8s.meta.v1.ObjectMetaArgsDict:
            made: k8s.meta.v1.ObjectMetaArgsDict = {"name": full_name, "namespace": namespace, "labels": labels(APP, name)}
            return {**made, "annotations": annotations} if annotations else made

        def after(*needed: pulumi.Resource, retain: bool = False) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, depends_on=list(needed), retain_on_delete=retain or None)

        base: list[pulumi.Resource] = []
        if given.get("create_namespace"):
            security = pod_security_labels(PodSecurityLevel.RESTRICTED)
            base.append(
                k8s.core.v1.Namespace(
                    f"{name}-namespace",
                    metadata={"name": namespace, "labels": {**labels(APP, name), **security}},
                    opts=after(),
                )
            )
        identity, wanted = given.get("identity"), given.get("make_identity")
        allowed: list[pulumi.Resource] = []
        if wanted is not None:
            identity, allowed = make_identity(name, wanted, given["backends"], namespace, f"{name}-account", self)
        account_name = account_of(name, given.get("mesh"))
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=meta(account_name, account_annotations(identity)),
            automount_service_account_token=False,
            opts=after(*base),
        )
        content = router_config(resolved.settings, given["backends"]).apply(encoded)
        files = {router_pod.CONFIG_FILE: content}
        if (google := google_file(given.get("federation"))) is not None:
            files[GOOGLE_FILE] = google
        whole = pulumi.Output.concat(*files.values())
        self.config_name = whole.apply(lambda text: f"{name}-config-{hashlib.sha256(text.encode()).hexdigest()[:10]}")
        config = k8s.core.v1.ConfigMap(
            f"{name}-config",
            metadata=meta(self.config_name),
            immutable=True,
            data=files,
            # A changed name replaces the object: Pulumi makes the new one, lets the Deployment roll, then would delete the
            # old one, without which `kubectl rollout undo` gets replicas that never start. So it is left in the cluster.
            opts=after(*base, retain=True),
        )
        needed: list[pulumi.Resource] = [account, config, *allowed]
        if identity is not None:
            needed += associate(name, identity, namespace, account_name, after(*base))
        external = given.get("external_secrets")
        if external is not None:
            secret = keys_secret(name)
            needed.append(
                k8s.apiextensions.CustomResource(
                    secret,
                    api_version=external_secrets.API_VERSION,
                    kind="ExternalSecret",
                    # Without its Secret no replica starts, and the operator's reason is told here, not there.
                    metadata=meta(secret, {"pulumi.com/waitFor": "condition=Ready"}),
                    spec=external_secrets.external_secret_spec(external, secret),
                    opts=after(*base),
                )
            )
        ready: list[pulumi.Resource] = []
        releases = resolved.releases(name)
        for release in releases:
            ready += deploy(self, release, resolved, self.config_name, account_name, base, needed)

        ingress, route = given.get("ingress"), given.get("http_route")
        if ingress is not None:
            some = resolved.replicas.fixed != 0
            expose_by_ingress(name, ingress, meta(name), awaited=some, parent=self, before=[*base, *ready])
        if route is not None:
            stream = resolved.drain.stream_seconds
            shares = {r.name: 100 if r.share is None else r.share for r in releases}
            expose_by_route(name, route, shares, stream, meta(name), parent=self, base=base, ready=ready)
        if (ingress or route) and not asks_for_keys(resolved.settings):
            pulumi.log.warn(f"{name} can be reached from outside and asks for no key; give 'settings.keys'", self)

        self.service_name = pulumi.Output.from_input(name)
        self.url = pulumi.Output.concat("http://", name, ".", namespace, ".svc")
        self.public_urls = pulumi.Output.from_input(public_urls(ingress, route))
        self.register_outputs(
            {
                "url": self.url,
                "public_urls": self.public_urls,
                "service_name": self.service_name,
                "config_name": self.config_name,
            }
        )

    def mesh_service(self, *, canary: bool = False, **more: Any) -> MeshService:
        """This router as a service of a ServiceMesh.

        Args:
            canary: Its second version instead of the first.
            more: Any other field of `slipway.kubernetes.mesh_service.MeshService`, such as `jwt`; it wins over what is known
                here.

        Raises:
            pulumi.RunError: Its pods are in no mesh, or it has no canary.
        """
        given = self._resolved.args
        if "mesh" not in given:
            raise pulumi.RunError(f"AiApiService '{self._name}' is in no mesh; give it 'mesh', such as {{'kind': 'istio'}}")
        service = self._release(canary).name
        known: MeshService = {
            "service": service,
            "port": 80,
            "pod_port": router_pod.PORT,
            "pod_labels": selector(APP, service),
            "account": account_of(self._name, given["mesh"]),
            "mesh": given["mesh"]["kind"],
            "component": self,
            "calls": [backend["resource"] for backend in given["backends"] if "resource" in backend],
            "router_retries": Retries.model_validate(self._resolved.settings.get("retries", {})).rounds,
            "checks_keys": asks_for_keys(self._resolved.settings),
            "stream_seconds": self._resolved.drain.stream_seconds,
        }
        if gateways := self._gateways():
            known["callers"] = [{"namespace": namespace} for namespace in (given["namespace"], *gateways)]
        return cast("MeshService", {**known, **more})

    def watched(self, *, canary: bool = False, **more: Any) -> WatchedService:
        """This router as a service of an ObservabilityStack.

        Args:
            canary: Its second version instead of the first.
            more: Any other field of `slipway.kubernetes.observability.watched.WatchedService`; it wins over what is known here.

        Raises:
            pulumi.RunError: It has no canary.
        """
        return cast("WatchedService", {**watched_router(self._release(canary), self._resolved), **more})

    def _release(self, canary: bool) -> Release:
        releases = self._resolved.releases(self._name)
        if canary and len(releases) == 1:
            raise pulumi.RunError(f"AiApiService '{self._name}' has no canary; give it 'canary', or leave it out here")
        return releases[-1 if canary else 0]

    def _gateways(self) -> list[pulumi.Input[str]]:
        """Namespaces from which requests come through its ways in from outside, beside its own. Consul knows no namespaces."""
        given = self._resolved.args
        if kind_of(given.get("mesh")) is MeshKind.CONSUL:
            return []
        proxies = [*given["ingress"]["proxies"]] if "ingress" in given else []
        if "http_route" in given:
            proxies += http_route.peers(given["http_route"])
        return [proxy["namespace"] for proxy in proxies if "namespace" in proxy]


def encoded(config: Mapping[str, Any]) -> str:
    """The configuration's bytes: the same for the same content, whatever order it was written in."""
    return json.dumps(config, sort_keys=True, indent=2) + "\n"
