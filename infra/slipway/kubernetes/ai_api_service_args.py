"""What an AiApiService can be asked for."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.backend import Backend, SecretKeyRef
from slipway.kubernetes.autoscaling import Scaling
from slipway.kubernetes.canary import Canary
from slipway.kubernetes.external_secrets import ExternalSecrets
from slipway.kubernetes.federation import RouterFederation
from slipway.kubernetes.http_route import HttpRouteExposure
from slipway.kubernetes.identity import WorkloadIdentity
from slipway.kubernetes.ingress import IngressExposure
from slipway.kubernetes.mesh_pods import MeshSidecar
from slipway.kubernetes.network import Peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.redis_broker import RedisBroker
from slipway.kubernetes.router_admin import RouterAdmin
from slipway.kubernetes.router_identity import RouterIdentity
from slipway.kubernetes.router_telemetry import (
    RouterTelemetry,
)
from slipway.kubernetes.service_monitor import ServiceMonitorSettings


class ServiceType(StrEnum):
    """How a service can be reached, in Kubernetes' terms."""

    CLUSTER_IP = "ClusterIP"
    """Inside the cluster."""
    NODE_PORT = "NodePort"
    """On a port of every node too."""
    LOAD_BALANCER = "LoadBalancer"
    """Through a load balancer of the cloud too."""


class AiApiServiceArgs(TypedDict):
    """What an AiApiService is made of. Three arguments are required: `image`, `namespace`, `backends`."""

    image: pulumi.Input[str]
    """The router's image, such as a ContainerImage's `ref`: with a digest, or with a tag other than 'latest'."""
    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist, unless `create_namespace` is true."""
    backends: Sequence[Backend]
    """Where requests can go: a model server's `backend()`, a vendor's API by `slipway.vendor(...)`, or fields of your own.

    At least one; names differ. The pods may connect to these and to nothing else. A backend with an `api_key_env` needs
    an `api_key`, the Secret that fills it.
    """
    create_namespace: NotRequired[bool]
    """Make the namespace too, with the pod security level `restricted` enforced. Default false.

    It then belongs to this service: destroying the one deletes the other, with all that is in it.
    """
    settings: NotRequired[Mapping[str, Any]]
    """More of the router's configuration, by the names of `slipway_router.config.Config`: `policy`, `keys`, `max_body_mib`.

    Plain values, and no secrets: keys are told by their SHA-256 or by the variable that holds them (`env_from_secrets`).
    Excludes what follows from elsewhere: `listen`, `drain_seconds`, `backends`, `admin`, `telemetry`. Default: the router's own
    defaults.
    """
    replicas: NotRequired[int]
    """A fixed number of replicas; 0 stops the service and keeps its address. Excludes `scaling`. Default: see `scaling`."""
    scaling: NotRequired[Scaling]
    """Scale with the load. Excludes `replicas`. Default, where neither is given: 2 to 20, on CPU and on requests.

    The Deployment then leaves its number to the autoscaler. Going over from `replicas` to `scaling` lets Kubernetes
    start again from 1 for the seconds until the autoscaler acts.
    """
    resources: NotRequired[ComputeResources]
    """CPU and memory of one replica. Default: requests of 500m and 1Gi, limits of 2 and 4Gi."""
    env_from_secrets: NotRequired[Mapping[str, SecretKeyRef]]
    """More environment variables, by name, each with the Secret's key that fills it. Default: those of the backends."""
    redis: NotRequired[RedisBroker]
    """Redis in which replicas share limits, budgets and keys: a RedisCache's `broker()`, or fields of your own.
    `settings.redis` says the rest, such as `keys`. The Secret with its password is in this namespace. Default: none, and every
    limit of `settings.keys` holds for each replica alone."""
    external_secrets: NotRequired[ExternalSecrets]
    """More environment variables, from a store of the External Secrets Operator instead of Secrets of your own. Default none."""
    identity: NotRequired[WorkloadIdentity]
    """Who the pods are to AWS or Google Cloud, so that they need no key there. Excludes `make_identity`. Default: nobody."""
    federation: NotRequired[RouterFederation]
    """Who the pods are to another cloud, by the token that their cluster signs for them, so that they need no key there either.
    Default: nobody."""
    make_identity: NotRequired[RouterIdentity]
    """Make that identity here, with the permission to ask these backends and nothing else. Excludes `identity`. Default: none is
    made. Required, or `identity` is, by backends that are asked by an identity: 'sagemaker', 'bedrock', 'vertex' and its kin."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect, beside `prometheus` and the `proxies` of `ingress` and `http_route`. Default: every pod of the same
    namespace. Required if `service_type` is not ClusterIP, since callers then come from elsewhere."""
    prometheus: NotRequired[Peer]
    """Which Prometheus may connect, to read metrics. Default: pods labelled `app.kubernetes.io/name: prometheus` in the
    namespace `monitoring`."""
    ingress: NotRequired[IngressExposure]
    """A way in from outside through an Ingress. Excludes `canary`, since an Ingress has no weights. Default none."""
    http_route: NotRequired[HttpRouteExposure]
    """A way in from outside through a gateway, by the Gateway API. Default none."""
    canary: NotRequired[Canary]
    """Another version beside this one, with a share of the requests that come through the gateway. Needs `http_route`. Default
    none."""
    service_monitor: NotRequired[ServiceMonitorSettings]
    """Have the Prometheus Operator read metrics, by a ServiceMonitor; `{}` for its defaults. Default: by the annotations
    `prometheus.io/...` of the pods."""
    admin: NotRequired[RouterAdmin]
    """The admin API of each replica, on a port of its own that the Service does not have. Default none."""
    telemetry: NotRequired[RouterTelemetry]
    """The log, and OpenTelemetry's traces and metrics. Default: text, and none."""
    recommend_resources: NotRequired[bool]
    """Have a VerticalPodAutoscaler recommend `resources` from what replicas really take; it changes nothing itself, so that
    it does not pull against `scaling`. Its operator must be in the cluster. Default false."""
    service_type: NotRequired[ServiceType]
    """How it can be reached: 'ClusterIP', 'NodePort' or 'LoadBalancer'. Default 'ClusterIP'."""
    annotations: NotRequired[Mapping[str, pulumi.Input[str]]]
    """More annotations of the pods, beside those for Prometheus; they win over those. Default none."""
    service_annotations: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Annotations of the Service, such as a cloud's settings for its load balancer. Default none."""
    mesh: NotRequired[MeshSidecar]
    """Have the pods join a service mesh: its sidecar comes first and goes last, and Prometheus reads both by the pods'
    annotations. A ServiceMesh then says the policy. Default: none."""
    pre_stop_seconds: NotRequired[int]
    """How long a replica that is to go still takes new requests, in seconds: until every proxy has left it out.
    Default 10; 0 to 300."""
    rollout_seconds: NotRequired[int]
    """How long new replicas may take until they are ready, in seconds; past it, `pulumi up` fails and old ones serve on.
    Default: 600, as in Kubernetes, beyond the `ready_seconds` of the backend that is ready first, since a replica is ready once
    it reaches one backend. 60 to 86400."""
    priority_class: NotRequired[pulumi.Input[str]]
    """PriorityClass of the pods. Default: the cluster's."""
    node_selector: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """Labels that nodes must have to run it. Default: any node."""
    image_pull_secrets: NotRequired[Sequence[pulumi.Input[str]]]
    """Names of the Secrets for the image's registry, in the same namespace. Default none."""
