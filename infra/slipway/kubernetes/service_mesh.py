"""Policy of a service mesh for the services of one namespace: who may call whom, and what happens when one fails."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import consul, istio, linkerd
from slipway.kubernetes.mesh_network import sidecar_policy
from slipway.kubernetes.mesh_object import MeshObject
from slipway.kubernetes.mesh_pods import MeshKind
from slipway.kubernetes.restricted import labels
from slipway.kubernetes.service_mesh_args import MeshSettings, ServiceMeshArgs

_APP = "service-mesh"
_OBJECTS: Mapping[MeshKind, Callable[[str, MeshSettings], Iterator[MeshObject]]] = {
    MeshKind.ISTIO: istio.objects,
    MeshKind.LINKERD: linkerd.objects,
    MeshKind.CONSUL: consul.objects,
}


class ServiceMesh(pulumi.ComponentResource):
    """Mutual TLS, callers, tokens at the edge, retries, timeouts, outlier detection, circuit breaking, shares and tracing, by the
    same arguments in Istio, Linkerd and Consul.

    The mesh must be in the cluster with its CNI plugin; the pods join it by the argument `mesh` of their components.
    """

    objects: pulumi.Output[list[str]]
    """What was made in the mesh's own terms, as `KIND/NAME`."""

    def __init__(self, name: str, args: ServiceMeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        mesh = MeshSettings.of(name, args)
        services: list[dict[str, Any]] = [{k: v for k, v in s.items() if k != "component"} for s in mesh.services]
        super().__init__("slipway:index:ServiceMesh", name, {**args, "services": services}, opts)
        named = labels(_APP, name)

        for service in mesh.services:
            k8s.networking.v1.NetworkPolicy(
                f"{name}-{service['service']}-network",
                metadata={"name": f"{name}-{service['service']}-network", "namespace": mesh.namespace, "labels": named},
                spec=sidecar_policy(service, mesh),
                opts=pulumi.ResourceOptions(parent=self),
            )
            annotations = linkerd.service_annotations(service) if mesh.kind is MeshKind.LINKERD else {}
            if annotations:
                # The Service is another component's; only these annotations of it are ours.
                k8s.core.v1.ServicePatch(
                    f"{name}-{service['service']}-outliers",
                    metadata={"name": service["service"], "namespace": mesh.namespace, "annotations": annotations},
                    opts=pulumi.ResourceOptions(parent=self, depends_on=mesh.after(service)),
                )
        made: list[str] = []
        for one in _OBJECTS[mesh.kind](name, mesh):
            metadata: k8s.meta.v1.ObjectMetaArgsDict = {"name": one.name, "namespace": mesh.namespace, "labels": named}
            if one.annotations:
                metadata["annotations"] = one.annotations
            k8s.apiextensions.CustomResource(
                one.role,
                api_version=one.api_version,
                kind=one.kind,
                metadata=metadata,
                spec=one.spec,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(one.after)),
            )
            made.append(f"{one.kind}/{one.name}")
        self.objects = pulumi.Output.from_input(made)
        self.register_outputs({"objects": self.objects})
