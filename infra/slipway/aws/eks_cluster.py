"""EksCluster: an Amazon EKS cluster with GPU nodes, pod identity and OIDC, as a kubeconfig and as a provider.

Made of pulumi-aws's own resources. pulumi-eks would bring a second provider binary and Node.js components for a tenth of this.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.aws.eks_args import ClusterSettings, EksClusterArgs, EksNodes, NodeGroup
from slipway.aws.sdk import aws

__all__ = ["EksCluster", "EksClusterArgs", "EksNodes"]

_CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
_AUTO_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
"""Those that the cluster's role needs beside (Amazon EKS guide, "Auto Mode cluster IAM role")."""
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
_AUTO_NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
_ADDONS = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""What nodes of node groups need; those of Auto Mode have it built in."""


class EksCluster(pulumi.ComponentResource):
    """An EKS cluster that `AiApiService` and `GpuModelServer` can run in.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    cluster_name: pulumi.Output[str]
    """Its name, as pod identity associations and `aws eks` want it."""
    kubeconfig: pulumi.Output[str]
    """A kubeconfig, secret. It holds no credential: the AWS CLI gets a token by the identity of whoever uses it."""
    oidc_provider_arn: pulumi.Output[str]
    """ARN of the OIDC provider, for IAM Roles for Service Accounts."""

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = ClusterSettings.of(name, args)
        super().__init__("slipway:index:EksCluster", name, cast("Any", args), opts)
        self._name, self._tags = name, args.get("tags") or {}

        auto = settings.auto_mode
        role, attached = self._role(
            "role", "eks.amazonaws.com", (*_CLUSTER_POLICIES, *(_AUTO_POLICIES if auto else ())), tag_session=True
        )
        node_policies = tuple(
            dict.fromkeys((*(_AUTO_NODE_POLICIES if auto else ()), *(_NODE_POLICIES if settings.groups else ())))
        )
        node_role, node_attached = self._role("node-role", "ec2.amazonaws.com", node_policies)
        cidrs = args["public_access_cidrs"]
        reach: Any = {
            "subnet_ids": args["subnet_ids"],
            "endpoint_private_access": True,
            "endpoint_public_access": bool(cidrs),
        }
        if cidrs:
            reach["public_access_cidrs"] = list(cidrs)
        more: dict[str, Any] = {}
        if auto:
            more = {
                "compute_config": {
                    "enabled": True,
                    "node_pools": ["general-purpose", "system"],
                    "node_role_arn": node_role.arn,
                },
                "kubernetes_network_config": {"elastic_load_balancing": {"enabled": True}},
                "storage_config": {"block_storage": {"enabled": True}},
                "bootstrap_self_managed_addons": False,
            }
        cluster = aws.eks.Cluster(
            f"{name}-cluster",
            role_arn=role.arn,
            vpc_config=reach,
            version=args.get("version"),
            access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": True},
            deletion_protection=args.get("deletion_protection"),
            tags=self._tags,
            **more,
            # Without its role's policies EKS cannot take down what it made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*attached, *node_attached]),
        )
        self._addons(cluster, auto, settings.groups)
        for group in settings.groups:
            self._nodes(cluster, group, node_role, node_attached, args["subnet_ids"])
        for i, arn in enumerate(args.get("admin_role_arns") or ()):
            self._admin(cluster, i, arn)
        issuer = cluster.identities.apply(_issuer)
        oidc = aws.iam.OpenIdConnectProvider(
            f"{name}-oidc",
            url=issuer,
            client_id_lists=["sts.amazonaws.com"],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        found = pulumi.Output.all(cluster.name, cluster.endpoint, cluster.certificate_authority.apply(_ca), cluster.region)
        self.kubeconfig = pulumi.Output.secret(found.apply(lambda f: kubeconfig(*cast("Sequence[str]", f))))
        self.provider = k8s.Provider(
            f"{name}-provider",
            kubeconfig=self.kubeconfig,
            enable_server_side_apply=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.cluster_name, self.oidc_provider_arn = cluster.name, oidc.arn
        outputs = {"cluster_name": self.cluster_name, "kubeconfig": self.kubeconfig}
        self.register_outputs({**outputs, "oidc_provider_arn": self.oidc_provider_arn})

    def _role(
        self, kind: str, service: str, policies: Sequence[str], *, tag_session: bool = False
    ) -> tuple[aws.iam.Role, list[aws.iam.RolePolicyAttachment]]:
        actions = ["sts:AssumeRole", "sts:TagSession"] if tag_session else ["sts:AssumeRole"]
        trust = {"Effect": "Allow", "Action": actions, "Principal": {"Service": service}}
        role = aws.iam.Role(
            f"{self._name}-{kind}",
            assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        attached = [
            aws.iam.RolePolicyAttachment(
                f"{self._name}-{kind}-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=pulumi.ResourceOptions(parent=self),
            )
            for policy in policies
        ]
        return role, attached

    def _addons(self, cluster: aws.eks.Cluster, auto: bool, groups: Sequence[NodeGroup]) -> None:
        wanted = _ADDONS if groups else ()
        for addon in wanted if auto else (*wanted, "coredns"):
            aws.eks.Addon(
                f"{self._name}-{addon}",
                cluster_name=cluster.name,
                addon_name=addon,
                tags=self._tags,
                opts=pulumi.ResourceOptions(parent=self),
            )

    def _nodes(
        self,
        cluster: aws.eks.Cluster,
        group: NodeGroup,
        role: aws.iam.Role,
        attached: Sequence[pulumi.Resource],
        subnets: Sequence[pulumi.Input[str]],
    ) -> None:
        gpu = group.gpu_labels is not None
        aws.eks.NodeGroup(
            f"{self._name}-{group.name}",
            cluster_name=cluster.name,
            node_role_arn=role.arn,
            subnet_ids=subnets,
            instance_types=list(group.instance_types),
            ami_type="AL2023_x86_64_NVIDIA" if gpu else None,
            capacity_type="SPOT" if group.spot else "ON_DEMAND",
            disk_size=group.disk_gib,
            scaling_config={"min_size": group.min, "max_size": group.max, "desired_size": group.min},
            labels=dict(group.gpu_labels or {}),
            # Nothing that needs no GPU should sit where one is paid for.
            taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}] if gpu else None,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*attached], ignore_changes=["scalingConfig.desiredSize"]),
        )

    def _admin(self, cluster: aws.eks.Cluster, i: int, arn: pulumi.Input[str]) -> None:
        entry = aws.eks.AccessEntry(
            f"{self._name}-admin-{i}",
            cluster_name=cluster.name,
            principal_arn=arn,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.eks.AccessPolicyAssociation(
            f"{self._name}-admin-{i}-policy",
            cluster_name=cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            access_scope={"type": "cluster"},
            opts=pulumi.ResourceOptions(parent=self),
        )


def kubeconfig(name: str, endpoint: str, ca: str, region: str) -> str:
    """A kubeconfig whose user is whoever AWS's CLI says one is."""
    command = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": command}}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": ca}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def _issuer(identities: Any) -> str:
    return identities[0].oidcs[0].issuer


def _ca(authority: Any) -> str:
    return authority.data
