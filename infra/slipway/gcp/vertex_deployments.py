"""VertexDeployments: what is deployed on one Vertex AI endpoint and the traffic between it, as a resource of its own provider.

One resource holds them all, since their traffic must add up to 100 at every instant. pulumi-gcp has none
(10.2.0; hashicorp/terraform-provider-google#23217).
"""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
from pulumi import dynamic

from slipway.gcp.vertex_deployment_spec import Deployment, deployments, split, traffic_fault
from slipway.gcp.vertex_model import ADOPTED, VertexProvider
from slipway.gcp.vertex_model_spec import plain

PLACE = ("project", "location", "endpoint", "owner")
CHANGES = ("deployments", "traffic")
INPUTS = ("name", *PLACE, *CHANGES, "timeout_minutes")
DEFAULT_TIMEOUT_MINUTES = 60


class VertexDeploymentsProvider(VertexProvider):
    """Deploys, moves traffic, scales and undeploys. Pulumi's engine calls it through Pulumi's dynamic provider."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """What the service needs, where it is known already."""
        failures = [dynamic.CheckFailure(key, "is required") for key in ("name", *PLACE) if news.get(key) in (None, "")]
        asked, traffic = news.get("deployments"), news.get("traffic")
        if not asked:
            failures.append(dynamic.CheckFailure("deployments", "is empty; give at least one model"))
        elif isinstance(asked, Mapping) and isinstance(traffic, Mapping):
            keys = sorted(cast("Mapping[str, object]", asked))
            if (fault := traffic_fault(cast("Mapping[str, Any]", traffic), keys)) is not None:
                failures.append(dynamic.CheckFailure("traffic", fault))
        return dynamic.CheckResult(dict(news), failures)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Another endpoint is another resource; everything else changes in place. What a crash left is a change too."""
        replaces = [key for key in PLACE if plain(_olds.get(key)) != plain(_news.get(key))]
        changed = any(plain(_olds.get(key)) != plain(_news.get(key)) for key in CHANGES) or bool(_olds.get("leftovers"))
        return dynamic.DiffResult(changes=changed or bool(replaces), replaces=replaces, stables=[], delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Deploy every model and give them their traffic. What an earlier run deployed, or began to, is adopted.

        Raises:
            VertexError: Something could not be deployed; nothing of it is left there.
        """
        endpoint, rollout, ids = self._endpoint(props), self._rollout(props), {d.id for d in deployments(props).values()}
        found = rollout.read()
        if found is not None and ids & {m.id for m in found.deployed_models}:
            ADOPTED.add(endpoint)
        return dynamic.CreateResult(endpoint, self._run(rollout, props, known=()))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Deploy what is new beside what serves, move the traffic at once, then undeploy what has none any more.

        Raises:
            VertexError: Something failed; what served before serves on, and what is new is undeployed again.
        """
        return dynamic.UpdateResult(self._run(self._rollout(_news), _news, known=(_olds.get("deployed") or {}).values()))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What is deployed, scaled and sent where now."""
        rollout = self._rollout(props)
        found = rollout.read()
        if found is None:
            return dynamic.ReadResult("", {})
        there = {m.id: m for m in found.deployed_models}
        wanted = {key: d for key, d in deployments(props).items() if d.id in there}
        if not wanted:
            return dynamic.ReadResult("", {})
        now = {**props, "deployments": {key: _seen(props["deployments"][key], d, there[d.id]) for key, d in wanted.items()}}
        now["traffic"] = {
            key: found.traffic_split.get(d.id, 0) for key, d in wanted.items() if key in (props.get("traffic") or {})
        }
        left = rollout.leftovers(found, [d.id for d in wanted.values()])
        inputs = {key: value for key, value in now.items() if key in INPUTS}
        return dynamic.ReadResult(id_, self._outputs(now, wanted, left), inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Undeploy everything of this stack's.

        Raises:
            VertexError: Something could not be undeployed, and is named.
        """
        if _id not in ADOPTED:
            self._rollout(_props).empty()

    def _run(self, rollout: Any, props: dict[str, Any], known: Any) -> dict[str, Any]:
        wanted = deployments(props)
        rollout.run(wanted, split(props, wanted), known)
        return self._outputs(props, wanted, [])

    def _rollout(self, props: Mapping[str, Any]) -> Any:
        from slipway.gcp.vertex_rollout import Rollout

        minutes = float(props.get("timeout_minutes") or DEFAULT_TIMEOUT_MINUTES)
        return Rollout(self.connect(props), self._endpoint(props), str(props["name"]), str(props["owner"]), minutes * 60)

    def _endpoint(self, props: Mapping[str, Any]) -> str:
        return f"projects/{props['project']}/locations/{props['location']}/endpoints/{props['endpoint']}"

    def _outputs(self, props: Mapping[str, Any], wanted: Mapping[str, Deployment], leftovers: list[str]) -> dict[str, Any]:
        kept = {key: value for key, value in props.items() if key in INPUTS}
        return {**kept, "deployed": {key: d.id for key, d in wanted.items()}, "leftovers": leftovers}


def _seen(given: Mapping[str, Any], deployment: Deployment, there: Any) -> dict[str, Any]:
    """What was asked for, with the replicas that are."""
    scaling, has = deployment.scaling(), there.dedicated_resources
    seen = dict(given)
    for key, field in (("min_replicas", "min_replica_count"), ("max_replicas", "max_replica_count")):
        if getattr(has, field) != scaling[field]:
            seen[key] = getattr(has, field)
    return seen


class VertexDeployments(dynamic.Resource, module="slipway", name="VertexDeployments"):
    """What is deployed on an endpoint, and the traffic between it."""

    deployed: pulumi.Output[Mapping[str, str]]
    """Ids of the deployed models, by their keys."""

    def __init__(self, name: str, props: Mapping[str, pulumi.Input[Any]], opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Args:
            name: Logical name.
            props: What `INPUTS` names.
            opts: Options of the resource.
        """
        super().__init__(VertexDeploymentsProvider(), name, {**dict.fromkeys(("deployed", "leftovers")), **props}, opts)
