"""What Elasticsearch is told once it runs: how its index is made, how long that is kept, and that the agents may add to it."""

import hashlib
import json
import shlex

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer, opened
from slipway.kubernetes.observability.elasticsearch import ADMIN, ADMIN_KEY, PORT, WRITER, way_to
from slipway.kubernetes.observability.log_index import INDEX, POLICY, TEMPLATE, policy, template
from slipway.kubernetes.observability.logs_args import LogsSettings
from slipway.kubernetes.observability.part import Place, address

ROLE = APP = "elasticsearch-setup"
PASSWORD = "ELASTIC_PASSWORD"  # noqa: S105 -- a name
WAIT_SECONDS = 900
"""How long the server may take until it can be told."""
_RESOURCES: k8s.core.v1.ResourceRequirementsArgsDict = {
    "requests": {"cpu": "50m", "memory": "32Mi"},
    "limits": {"cpu": "500m", "memory": "128Mi"},
}


def script(retention_days: int) -> str:
    """What tells it, for bash. Each of its requests may be made again.

    Args:
        retention_days: How long lines are kept.
    """
    may = {"cluster": ["monitor"], "indices": [{"names": [INDEX], "privileges": ["auto_configure", "create_doc"]}]}
    # The role comes last: until it is there agents are refused, and wait. With it but no template, a line could be the first of
    # an index like any other.
    told = [
        (f"_ilm/policy/{POLICY}", policy(retention_days)),
        (f"_index_template/{TEMPLATE}", template()),
        (f"_security/role/{WRITER}", may),
    ]
    # The password goes by standard input, so that no command line has it.
    lines = [
        "ask() {",
        f"""  printf 'user = "{ADMIN}:%s"\\n' "${PASSWORD}" |""",
        "    curl --config - --silent --show-error --fail --max-time 60 -H 'Content-Type: application/json' \"$@\"",
        "}",
        'until ask -o /dev/null "$URL/_cluster/health?wait_for_status=yellow&timeout=30s"; do sleep 5; done',
        *(f'ask -X PUT "$URL/{path}" --data {shlex.quote(json.dumps(body))}' for path, body in told),
    ]
    return "\n".join(lines)


def make_setup(place: Place, settings: LogsSettings, secret: k8s.core.v1.Secret, server: pulumi.Resource) -> k8s.batch.v1.Job:
    """Make the Job. Kubernetes lets nobody change one, so another with other words is another.

    Args:
        place: Where.
        settings: What was asked for.
        secret: With the password of `elastic`.
        server: Who is told.
    """
    labels, pods = restricted.labels(APP, place.name), restricted.selector(APP, place.name)
    account = k8s.core.v1.ServiceAccount(
        f"{place.name}-{ROLE}-account",
        metadata=place.meta(ROLE, labels),
        automount_service_account_token=False,
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    policy_of = k8s.networking.v1.NetworkPolicy(
        f"{place.name}-{ROLE}-network",
        metadata=place.meta(ROLE, labels),
        spec=opened(pods, {}, way_to(place)),
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    container: k8s.core.v1.ContainerArgsDict = {
        "name": "setup",
        # It has bash and curl.
        "image": settings.image,
        "command": ["bash", "-euc", script(settings.retention_days)],
        "env": [
            {"name": "URL", "value": address("elasticsearch", place, PORT)},
            {"name": PASSWORD, "value_from": {"secret_key_ref": {"name": secret.metadata.name, "key": ADMIN_KEY}}},
        ],
        "resources": _RESOURCES,
        "security_context": restricted.container_security(),
    }
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": f"{place.name}-{ROLE}",
        "automount_service_account_token": False,
        "enable_service_links": False,
        "restart_policy": "OnFailure",
        "security_context": restricted.pod_security(),
        "containers": [container],
    }
    if place.node_selector:
        spec["node_selector"] = place.node_selector
    digest = pulumi.Output.json_dumps(spec, sort_keys=True).apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:10])
    return k8s.batch.v1.Job(
        f"{place.name}-{ROLE}",
        metadata={**place.meta(ROLE, labels), "name": pulumi.Output.concat(f"{place.name}-{ROLE}-", digest)},
        spec={
            "backoff_limit": 6,
            "active_deadline_seconds": 2 * WAIT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
        opts=pulumi.ResourceOptions(
            parent=place.parent,
            depends_on=[account, policy_of, server],
            custom_timeouts=pulumi.CustomTimeouts(create=f"{2 * WAIT_SECONDS + 60}s"),
        ),
    )


def peer(place: Place) -> Peer:
    """The Job, as Elasticsearch's policy needs to know it."""
    return {"pod_labels": restricted.selector(APP, place.name)}
