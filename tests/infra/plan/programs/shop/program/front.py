"""What customers see."""

import pulumi
import pulumi_kubernetes as k8s


class Front(pulumi.ComponentResource):
    url: pulumi.Output[str]

    def __init__(self, name: str, *, image: str, replicas: int, ports: list[int], namespace: pulumi.Input[str]) -> None:
        super().__init__("shop:index:Front", name, {"image": image, "replicas": replicas})
        labels = {"app": name}
        server = f"{name}-server"
        k8s.apps.v1.Deployment(
            server,
            metadata={"name": server, "namespace": namespace},
            spec={
                "replicas": replicas,
                "selector": {"match_labels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}},
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        service = k8s.core.v1.Service(
            f"{name}-service",
            metadata={"name": f"{name}-service", "namespace": namespace},
            spec={"selector": labels, "ports": [{"port": port} for port in ports]},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = pulumi.Output.concat("http://", service.metadata["name"])
        self.register_outputs({"url": self.url})
