"""A shop front: a component, its deployment and service, a secret, and one resource of a cloud."""

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
from front import Front

config = pulumi.Config()
namespace = k8s.core.v1.Namespace("shop", metadata={"name": "shop"})
front = Front(
    "front",
    image=config.require("image"),
    replicas=config.require_int("replicas"),
    ports=config.require_object("ports"),
    namespace=namespace.metadata["name"],
)
if config.get_bool("archive"):
    aws.sqs.Queue("archive", opts=pulumi.ResourceOptions(protect=True))
if config.get("token") != "none":
    k8s.core.v1.Secret(
        "token",
        metadata={"name": "token", "namespace": namespace.metadata["name"]},
        string_data={"token": config.require_secret("token")},
    )
pulumi.export("url", front.url)
