"""A model served on GPUs of one's own, or on CPUs: one StatefulSet with all that it needs."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import Backend
from slipway.kubernetes import restricted
from slipway.kubernetes.disruption import budget
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_backend import known_facts
from slipway.kubernetes.gpu_model_server_explain import explain
from slipway.kubernetes.gpu_model_server_pod import shared_claim
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings, Keeper
from slipway.kubernetes.gpu_model_server_watched import watched_server
from slipway.kubernetes.gpu_model_server_workload import Workload
from slipway.kubernetes.identity import account_annotations, associate
from slipway.kubernetes.keda import API_VERSION
from slipway.kubernetes.leader_worker_set import LEADER
from slipway.kubernetes.mesh_pods import account_of
from slipway.kubernetes.mesh_service import MeshService
from slipway.kubernetes.model_engine import PORT
from slipway.kubernetes.model_scaler import ScaleTarget, scaled_object
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import isolate, with_each_other
from slipway.kubernetes.observability.watched import WatchedService
from slipway.kubernetes.spot import groups_of
from slipway_router.steadiness import Retries

COMPONENT = "model-server"
"""Value of the label `app.kubernetes.io/name` of its pods."""
TOKEN_KEY = "token"  # noqa: S105 -- the name of a key
_HTTP: k8s.core.v1.ServicePortArgsDict = {"name": "http", "port": PORT, "target_port": "http"}
# Pulumi would wait for a Service's endpoints at most ten minutes, and weights take longer: the StatefulSet is waited for.
_NO_WAIT = {"pulumi.com/skipAwait": "true"}


class GpuModelServer(pulumi.ComponentResource):
    """A model behind OpenAI's API, inside a cluster.

    By default it is a StatefulSet, not a Deployment, for two reasons. Each replica keeps its own volume with its copy of the
    weights. And a StatefulSet stops a pod before it starts the next, so a new version gets the GPUs that the old one leaves; a
    Deployment would start first, and wait for ever where the last GPU is taken. While a single replica changes, the model is
    away: routers then take another backend. Where GPUs are to spare, `rollout` makes it a Deployment.
    """

    url: pulumi.Output[str]
    """Base address for clients in the cluster, such as `http://llama.ai.svc:8000/v1`."""
    service_name: pulumi.Output[str]
    """Name of the Service: the component's own."""
    explain: pulumi.Output[str]
    """What was decided, in words: how the GPUs' memory is shared out, how long a start and a stop may take."""

    def __init__(self, name: str, args: GpuModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = GpuModelServerSettings.of(name, args)
        inputs: dict[str, Any] = {**args}
        if settings.hub_token is not None:
            # A component's own inputs are kept in state too.
            inputs["hub_token"] = pulumi.Output.secret(settings.hub_token)
        super().__init__("slipway:index:GpuModelServer", name, inputs, opts)
        self._settings = settings
        self._name = name
        self._pods = restricted.selector(COMPONENT, name)
        labels = {**restricted.labels(COMPONENT, name), **version_label(settings.image)}

        def meta(object_name: str, annotations: Mapping[str, pulumi.Input[str]] | None = None) -> k8s.meta.v1.ObjectMetaArgsDict:
            made: k8s.meta.v1.ObjectMetaArgsDict = {"name": object_name, "namespace": settings.namespace, "labels": labels}
            return {**made, "annotations": annotations} if annotations else made

        # Of a group of pods the leader answers.
        answering = {**self._pods, **(LEADER if settings.server.nodes > 1 else {})}
        # The address is by the component's own name, so the Service has that and not its logical name.
        k8s.core.v1.Service(
            f"{name}-service",
            metadata=meta(name, _NO_WAIT),
            spec={"selector": answering, "ports": [_HTTP]},
            opts=pulumi.ResourceOptions(parent=self),
        )
        account_name = account_of(name, settings.mesh)
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=meta(account_name, account_annotations(settings.identity)),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy_spec = isolate(self._pods, PORT, settings.ingress, settings.egress)
        if settings.server.nodes > 1:
            policy_spec = with_each_other(policy_spec, self._pods)
        elif not settings.egress:
            # Weights that are there already need no way out, not even to DNS.
            policy_spec.pop("egress", None)
        policy = k8s.networking.v1.NetworkPolicy(
            f"{name}-network",
            metadata=meta(f"{name}-network"),
            spec=policy_spec,
            opts=pulumi.ResourceOptions(parent=self),
        )
        before: list[pulumi.Resource] = [account, policy]
        if settings.identity is not None:
            before += associate(name, settings.identity, settings.namespace, account_name, pulumi.ResourceOptions(parent=self))
        token: tuple[pulumi.Input[str], str] | None = None
        if settings.hub_token is not None:
            secret = k8s.core.v1.Secret(
                f"{name}-hub-token",
                metadata=meta(f"{name}-hub-token"),
                string_data={TOKEN_KEY: pulumi.Output.secret(settings.hub_token)},
                opts=pulumi.ResourceOptions(parent=self),
            )
            token = (f"{name}-hub-token", TOKEN_KEY)
            before.append(secret)
        elif settings.hub_token_secret is not None:
            token = (settings.hub_token_secret["name"], settings.hub_token_secret["key"])
        if settings.source and settings.source.shared_volume:
            before.append(
                k8s.core.v1.PersistentVolumeClaim(
                    f"{name}-weights",
                    metadata=meta(f"{name}-weights", _NO_WAIT),
                    spec=shared_claim(settings, settings.source.shared_volume),
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=settings.keep_cache),
                )
            )
        if settings.most_replicas > 1:
            k8s.policy.v1.PodDisruptionBudget(
                f"{name}-pdb",
                metadata=meta(f"{name}-pdb"),
                spec=budget(self._pods),
                opts=pulumi.ResourceOptions(parent=self),
            )
        if settings.keeper is Keeper.STATEFUL_SET or settings.most_replicas > 1:
            # By its records a router finds each server that is ready; those of both groups of spot and other nodes.
            before.append(
                k8s.core.v1.Service(
                    f"{name}-headless",
                    metadata=meta(f"{name}-headless", _NO_WAIT),
                    spec={"cluster_ip": "None", "selector": answering, "ports": [_HTTP]},
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        timeout, gone = f"{settings.rollout_seconds}s", f"{settings.server.drain.grace_seconds + 300}s"
        timeouts = pulumi.CustomTimeouts(create=timeout, update=timeout, delete=gone)
        servers: list[pulumi.Resource] = []
        for group in groups_of(settings.replicas, settings.spot):
            workload = Workload(settings, name, group, self._pods, labels, token)
            # Nothing becomes ready where nothing runs.
            metadata = meta(f"{name}-{group.role}", workload.annotations if settings.least_replicas else _NO_WAIT)
            opts = pulumi.ResourceOptions(parent=self, depends_on=before, custom_timeouts=timeouts)
            servers.append(workload.register(metadata, opts))

        if settings.scaling:
            names = [name, *(f"{name}-{a.name}" for a in settings.server.adapters)]
            target = ScaleTarget(settings.keeper, f"{name}-server", settings.namespace, names)
            k8s.apiextensions.CustomResource(
                f"{name}-scaler",
                api_version=API_VERSION,
                kind="ScaledObject",
                metadata=meta(f"{name}-scaler"),
                spec=scaled_object(
                    settings.scaling,
                    target,
                    settings.engine.metrics,
                    settings.cold_start_seconds,
                    settings.server.parallel_requests,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=servers),
            )

        self.service_name = pulumi.Output.from_input(name)
        self.url = pulumi.Output.concat("http://", name, ".", settings.namespace, f".svc:{PORT}/v1")
        self.explain = pulumi.Output.from_input(explain(settings))
        self.register_outputs({"url": self.url, "service_name": self.service_name, "explain": self.explain})

    def backend(
        self, name: str | None = None, *, adapter: str | None = None, gpu_cost_per_hour: float | None = None, **more: Any
    ) -> Backend:
        """This server as a backend of a router, with all that its arguments tell: tasks, context, abilities, replicas, how long a
        start from none takes, and what fails together with it.

        Args:
            name: Name in metrics, headers and the policy. Default: the component's, with `-ADAPTER` for one of its adapters.
            adapter: The LoRA adapter to ask for. Default: the model itself.
            gpu_cost_per_hour: What one GPU, or the part of one that is asked for, costs in an hour, in US dollars. Default: not
                known, and its tokens count as free.
            more: Any other field of `slipway.backend.Backend`, such as `quality`; it wins over what is known here.

        Raises:
            pulumi.RunError: There is no such adapter.
        """
        server = self._settings.server
        names = [a.name for a in server.adapters]
        if adapter is not None and adapter not in names:
            choice = ", ".join(repr(n) for n in names) or "no adapters"
            raise pulumi.RunError(f"GpuModelServer '{self._name}' has no adapter {adapter!r}; there are {choice}")
        told = self._settings.engine.adapter_model.format(model=server.served_name, adapter=adapter)
        known: dict[str, Any] = {
            "name": name or (self._name if adapter is None else f"{self._name}-{adapter}"),
            "url": self.url,
            "model": server.served_name if adapter is None else told,
            "tasks": list(server.tasks),
            "self_hosted": True,
            "timeouts": {"total": float(server.drain.stream_seconds)},
            "ready_seconds": self._settings.rollout_seconds,
            "resource": self._name,
            "egress": {"pod_labels": self._pods, "namespace": self._settings.namespace, "port": PORT},
        }
        known |= known_facts(self._settings, gpu_cost_per_hour)
        if self._settings.most_replicas > 1 and self._settings.mesh is None:
            # A mesh's proxy goes by the name asked for, and chooses among the servers itself.
            known["replicas"] = self._replicas()
        return cast("Backend", {**known, **more})

    def _replicas(self) -> dict[str, Any]:
        """How a router finds the servers, and how much each of them has cached."""
        service = pulumi.Output.concat(self._name, "-headless.", self._settings.namespace, ".svc")
        memory = self._settings.memory
        tokens = memory.tokens if memory is not None else None
        return {"service": service, **({"kv_tokens": tokens} if tokens else {})}

    def watched(self, **more: Any) -> WatchedService:
        """This server as a service of an ObservabilityStack.

        Args:
            more: Any other field of `slipway.kubernetes.observability.watched.WatchedService`; it wins over what is known here.
        """
        return cast("WatchedService", {**watched_server(self._name, self._settings, self._pods), **more})

    def mesh_service(self, **more: Any) -> MeshService:
        """This server as a service of a ServiceMesh.

        Args:
            more: Any other field of `slipway.kubernetes.mesh_service.MeshService`, such as `circuit_breaker`; it wins over what
                is known here.

        Raises:
            pulumi.RunError: Its pods are in no mesh.
        """
        mesh = self._settings.mesh
        if mesh is None:
            raise pulumi.RunError(f"GpuModelServer '{self._name}' is in no mesh; give it 'mesh', such as {{'kind': 'istio'}}")
        parts = self._settings.engine.container(self._settings.server)
        probes = (parts.startup, parts.readiness, parts.liveness)
        known: MeshService = {
            "service": self._name,
            "port": PORT,
            "pod_labels": self._pods,
            "account": account_of(self._name, mesh),
            "mesh": mesh["kind"],
            "component": self,
            "open_paths": list(dict.fromkeys(["/metrics", *(path for probe in probes for path in _paths(probe))])),
            # Of a router that is not in the mesh nobody knows better.
            "router_retries": Retries().rounds,
            "stream_seconds": self._settings.server.drain.stream_seconds,
        }
        return cast("MeshService", {**known, **more})


def _paths(probe: Mapping[str, Any]) -> list[str]:
    """The path that a probe asks for by HTTP, where it does."""
    return [probe["http_get"]["path"]] if "http_get" in probe else []
