"""Prometheus, Alertmanager, Grafana and Loki for a router that exists already.

Another program has made the router; here is said what `watched()` would tell of it. It must let the Prometheus of this namespace
read its metrics, as it does unless its own argument `prometheus` names another one. The cluster needs a Secret `slack` in this
namespace, whose key `url` is where Slack takes messages.
"""

import pulumi

from slipway import AiNamespace, ObservabilityStack
from slipway.kubernetes.observability.alertmanager_args import ReceiverKind
from slipway.kubernetes.observability.watched import WatchedKind

config = pulumi.Config()
home = AiNamespace(config.get("namespace") or "monitoring", {})
router = config.get("router") or "api"

watch = ObservabilityStack(
    "watch",
    {
        "namespace": home.namespace,
        "watch": [
            {
                "kind": WatchedKind.ROUTER,
                "name": router,
                "namespace": config.get("routerNamespace") or "ai",
                "pods": f"{router}-router-.+",
                "pod_labels": {"app.kubernetes.io/name": "slipway-router", "app.kubernetes.io/instance": router},
                "port": 8000,
                "least_replicas": 2,
                "most_replicas": 20,
                "scales": True,
            }
        ],
        "objectives": {"availability_percent": 99.9, "first_token_seconds": 2.5},
        "alertmanager": {
            "receivers": [
                {"name": "team", "kind": ReceiverKind.SLACK, "secret": {"name": "slack", "key": "url"}, "channel": "#alerts"}
            ]
        },
        "logs": {"retention_days": 14, "daily_gib": 5, "storage_gib": 50},
        "grafana": {"allow_from": [{"namespace": "ingress-nginx"}], "root_url": "https://grafana.example.com/"},
    },
)

pulumi.export("grafana", watch.grafana_url)
pulumi.export("grafanaPassword", watch.grafana_secret)
pulumi.export("prometheus", watch.prometheus_url)
pulumi.export("logs", watch.logs_url)
