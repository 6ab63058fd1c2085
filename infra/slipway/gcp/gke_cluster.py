"""GkeCluster: a Kubernetes cluster in Google Cloud for a stack that starts from an empty project."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.accelerators import GpuNodeLabels, Place
from slipway.args import Faults, check_shape
from slipway.gcp.invoke import account_id
from slipway.machines import Machine, find, lacking_region, machines

try:
    import pulumi_gcp as gcp
except ImportError as error:
    raise ImportError("GkeCluster needs pulumi-gcp; install it with: pip install 'slipway[gcp]'") from error

NAME_LIMIT = 24
"""GKE's names have 40 characters at most (GKE API reference: projects.locations.clusters); role and Pulumi's suffix take 16."""
POOL_LIMIT = 1000
"""Nodes of one pool in one zone ("Quotas and limits", GKE's guide)."""
NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""What nodes need: to write logs and metrics, nothing else ("Harden your cluster's security", GKE's guide)."""
GKE_LABEL = "cloud.google.com/gke-accelerator"

_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_KEY = re.compile(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?")
_LOCATION = re.compile(r"[a-z]+-[a-z]+[0-9]+(-[a-z])?")


class GkeGpuPoolArgs(TypedDict):
    """Nodes with GPUs, from none to as many as pods ask for."""

    machine_type: str
    """Machine type that carries GPUs, such as `g2-standard-12`: which, and how many, follows from it."""
    max_nodes: int
    """Most nodes in each of the pool's zones, at least 1 and at most 1000."""
    min_nodes: NotRequired[int]
    """Fewest nodes in each zone. Default 0."""
    spot: NotRequired[bool]
    """Whether on spot machines: cheaper, and taken away at any time. Default false."""
    zones: NotRequired[list[str]]
    """Zones of the pool, such as `europe-west4-a`; not every zone of a region has every GPU. Default: the cluster's."""


class GkeClusterArgs(TypedDict):
    """What a `GkeCluster` is told."""

    location: str
    """Region, such as `europe-west4`, whose control plane survives a zone's loss; or a zone, for a standard cluster."""
    project: NotRequired[pulumi.Input[str]]
    """Project id. Default: the provider's."""
    autopilot: NotRequired[bool]
    """Whether Google runs the nodes and one pays for what pods ask for, GPUs too. A change makes another cluster. Default: true,
    false with `gpu_pools` or `system_machine_type`."""
    gpu_pools: NotRequired[Mapping[str, GkeGpuPoolArgs]]
    """For a standard cluster: pools of GPU nodes by a name for each, at most 10 lower case letters, digits and '-'."""
    system_machine_type: NotRequired[str]
    """For a standard cluster: machine type of the nodes for everything else, 1 to 3 in each zone. Default `e2-standard-4`."""
    network: NotRequired[pulumi.Input[str]]
    """VPC network. Default: the project's `default`."""
    subnetwork: NotRequired[pulumi.Input[str]]
    """Subnetwork of that. Default: the network's own of this region."""
    deletion_protection: NotRequired[bool]
    """Whether `destroy` is refused until this is set to false. Default true."""
    labels: NotRequired[Mapping[str, str]]
    """Labels of the cluster."""


@dataclass(frozen=True)
class Pool:
    """One pool, checked, with its GPUs."""

    machine_type: str
    gpu: str
    gpus: int
    min_nodes: int
    max_nodes: int
    spot: bool
    zones: list[str] | None


@dataclass(frozen=True)
class Resolved:
    """The arguments that can be known, with every default."""

    autopilot: bool
    pools: Mapping[str, Pool]
    system_machine_type: str


def resolve(name: str, args: GkeClusterArgs) -> Resolved:
    """Check and fill in.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments.
    """
    faults = Faults("GkeCluster")
    given = check_shape(args, GkeClusterArgs, faults)
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        faults.add("name", f"(the component's own) is {name!r}; give at most {NAME_LIMIT} lower case letters, digits and '-'")
    location = given.get("location")
    if isinstance(location, str) and not _LOCATION.fullmatch(location):
        faults.add("location", f"is {location!r}; give a region such as 'europe-west4', or a zone of one")
        location = None
    asked = cast("Mapping[str, Mapping[str, Any]]", given.get("gpu_pools") or {})
    autopilot = given.get("autopilot", not asked and "system_machine_type" not in given)
    if autopilot and not faults.at("autopilot"):
        for key in ("gpu_pools", "system_machine_type"):
            if key in given:
                faults.add(
                    key, "goes with 'autopilot': False: of an Autopilot cluster the nodes are Google's; leave one of the two out"
                )
        if isinstance(location, str) and re.search(r"-[a-z]$", location):
            faults.add("location", f"is {location!r}, a zone; an Autopilot cluster is a region's, so give {location[:-2]!r}")
    pools = {} if faults.at("gpu_pools") else {key: _pool(key, one, location, faults) for key, one in asked.items()}
    faults.refuse(name)
    whole = {key: pool for key, pool in pools.items() if pool is not None}
    return Resolved(autopilot, whole, given.get("system_machine_type", "e2-standard-4"))


def _pool(key: str, one: Mapping[str, Any], location: object, faults: Faults) -> Pool | None:
    path = f"gpu_pools.{key}"
    if not _KEY.fullmatch(key):
        faults.add(path, "is no name here; give at most 10 lower case letters, digits and '-', a letter first")
    least, most = one.get("min_nodes", 0), one["max_nodes"]
    if not 1 <= most <= POOL_LIMIT:
        faults.add(f"{path}.max_nodes", f"is {most}; give 1 to {POOL_LIMIT}")
    elif not 0 <= least <= most:
        faults.add(f"{path}.min_nodes", f"is {least}; give 0 to {most}, which max_nodes is")
    region = re.sub(r"-[a-z]$", "", location) if isinstance(location, str) else None
    for i, zone in enumerate(one.get("zones") or []):
        if region is not None and not re.fullmatch(rf"{region}-[a-z]", zone):
            faults.add(f"{path}.zones[{i}]", f"is {zone!r}, which is no zone of {region}; give one such as '{region}-a'")
    found = _carrier(one["machine_type"])
    if found is None:
        kinds = dict.fromkeys(m.name for m in machines(Place.GCE) if _gpu(m) and len(m.gpus) == 1)
        faults.add(f"{path}.machine_type", f"is {one['machine_type']!r}, which carries no GPUs; give one of {', '.join(kinds)}")
        return None
    if region is not None and (lacking := lacking_region(found, region)):
        faults.add(f"{path}.machine_type", lacking)
    return Pool(found.name, _gpu(found), found.gpus[0], least, most, one.get("spot", False), one.get("zones"))


def _carrier(name: str) -> Machine | None:
    return next((m for m in find(Place.GCE, name) if len(m.gpus) == 1 and _gpu(m)), None)


def _gpu(machine: Machine) -> str:
    """GKE's name of its GPUs."""
    return machine.accelerator.labels.get(GpuNodeLabels.GKE, {}).get(GKE_LABEL, "")


class GkeCluster(pulumi.ComponentResource):
    """A GKE cluster, Autopilot or with pools of GPU nodes, whose pods may act as accounts of Google Cloud.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    cluster_name: pulumi.Output[str]
    """Name of the cluster."""
    kubeconfig: pulumi.Output[str]
    """A kubeconfig, as a secret. It holds no credential: kubectl gets a token by
    `gke-gcloud-auth-plugin`, which must be installed."""

    def __init__(self, name: str, args: GkeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        resolved = resolve(name, args)
        super().__init__("slipway:index:GkeCluster", name, cast("Any", {**args}), opts)
        asked = pulumi.InvokeOutputOptions(parent=self)
        project = args.get("project") or gcp.organizations.get_client_config_output(opts=asked).project
        more: dict[str, Any] = (
            {"enable_autopilot": True}
            if resolved.autopilot
            else {
                # The pool that every cluster begins with cannot be changed: ours come in its place.
                "remove_default_node_pool": True,
                "initial_node_count": 1,
                "workload_identity_config": {"workload_pool": pulumi.Output.concat(project, ".svc.id.goog")},
                "datapath_provider": "ADVANCED_DATAPATH",
            }
        )
        cluster = gcp.container.Cluster(
            f"{name}-cluster",
            location=args["location"],
            project=args.get("project"),
            network=args.get("network"),
            subnetwork=args.get("subnetwork"),
            deletion_protection=args.get("deletion_protection", True),
            resource_labels=args.get("labels"),
            release_channel={"channel": "REGULAR"},
            **more,
            opts=pulumi.ResourceOptions(parent=self),
        )
        pools = [] if resolved.autopilot else self._nodes(name, args, resolved, cluster, project)
        self.cluster_name = cluster.name
        self.kubeconfig = pulumi.Output.secret(
            pulumi.Output.all(
                cluster.name, cluster.endpoint, cluster.master_auth.apply(lambda a: a.cluster_ca_certificate)
            ).apply(lambda known: kubeconfig(*cast("tuple[str, str, str]", tuple(known))))
        )
        self._kubernetes = k8s.Provider(
            f"{name}-provider",
            kubeconfig=self.kubeconfig,
            opts=pulumi.ResourceOptions(parent=self, depends_on=pools),
        )
        self.register_outputs({"cluster_name": self.cluster_name, "kubeconfig": self.kubeconfig})

    @property
    def provider(self) -> k8s.Provider:
        """Makes resources in this cluster: `pulumi.ResourceOptions(provider=cluster.provider)`."""
        return self._kubernetes

    def _nodes(
        self, name: str, args: GkeClusterArgs, resolved: Resolved, cluster: gcp.container.Cluster, project: pulumi.Input[str]
    ) -> list[pulumi.Resource]:
        account = gcp.serviceaccount.Account(
            f"{name}-nodes",
            account_id=account_id(f"{name}-nodes"),
            display_name=f"Nodes of {name}"[:100],
            project=args.get("project"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        right = gcp.projects.IAMMember(
            f"{name}-nodes-role", project=project, role=NODE_ROLE, member=account.member, opts=pulumi.ResourceOptions(parent=self)
        )

        def pool(key: str, least: int, most: int, zones: list[str] | None, config: dict[str, Any]) -> gcp.container.NodePool:
            every: Any = {
                "service_account": account.email,
                "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                "workload_metadata_config": {"mode": "GKE_METADATA"},
                "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
                **config,
            }
            return gcp.container.NodePool(
                f"{name}-{key}",
                cluster=cluster.id,
                location=args["location"],
                project=args.get("project"),
                node_locations=zones,
                autoscaling={"min_node_count": least, "max_node_count": most},
                management={"auto_repair": True, "auto_upgrade": True},
                node_config=every,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[right], ignore_changes=["initialNodeCount"]),
            )

        made: list[pulumi.Resource] = [pool("system", 1, 3, None, {"machine_type": resolved.system_machine_type})]
        for key, one in resolved.pools.items():
            accelerator = {"type": one.gpu, "count": one.gpus, "gpu_driver_installation_config": {"gpu_driver_version": "LATEST"}}
            config = {"machine_type": one.machine_type, "spot": one.spot, "guest_accelerators": [accelerator]}
            made.append(pool(f"gpu-{key}", one.min_nodes, one.max_nodes, one.zones, config))
        return made


def kubeconfig(name: str, endpoint: str, certificate: str) -> str:
    """For kubectl and Pulumi, in JSON, which is YAML too."""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "gke-gcloud-auth-plugin",
        "provideClusterInfo": True,
        "installHint": "Install gke-gcloud-auth-plugin: see 'Install kubectl and configure cluster access' in GKE's guide",
    }
    cluster = {"server": f"https://{endpoint}", "certificate-authority-data": certificate}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"exec": plugin}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )
