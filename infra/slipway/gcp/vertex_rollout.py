"""Brings an endpoint from what serves there to what is asked for, without a gap: deploy, move the traffic, then undeploy.

Every step may have been done by an earlier run that crashed: what is asked for is known by its id, and what is not done is done.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from google.api_core import exceptions

from slipway.gcp.vertex_client import Vertex, VertexError, told
from slipway.gcp.vertex_deployment_spec import SCALING_PATHS, Deployment, mark
from slipway.gcp.vertex_operation import CancelledError, OperationError, say, settle, wait


class Rollout:
    """One endpoint, while it changes."""

    def __init__(self, vertex: Vertex, endpoint: str, name: str, owner: str, deadline_seconds: float) -> None:
        """
        Args:
            vertex: The services of its region.
            endpoint: Its resource name.
            name: What the user calls it.
            owner: The stack's mark.
            deadline_seconds: How long each deployment may take.
        """
        self._vertex = vertex
        self._endpoint = endpoint
        self._name = name
        self._owner = owner
        self._seconds = deadline_seconds

    def read(self) -> Any:
        """The endpoint as it is, None if it is gone."""
        try:
            return self._vertex.ask(self._vertex.endpoints.get_endpoint, {"name": self._endpoint})
        except exceptions.NotFound:
            return None

    def run(self, wanted: Mapping[str, Deployment], split: Mapping[str, int], known: Iterable[str]) -> Any:
        """Make it so.

        Args:
            wanted: What is to be deployed, by key.
            split: Traffic by id.
            known: Ids that the stack's state has: they stay where something fails.

        Returns:
            The endpoint as it is then.

        Raises:
            VertexError: What failed. What this run deployed, or found of a crashed one, is undeployed again, and what served
                before serves on.
        """
        new = {d.id: d for d in wanted.values() if d.id not in set(known)}
        try:
            before = self._settled()
            there = {m.id: m for m in before.deployed_models}
            for deployment in wanted.values():
                if deployment.id in there:
                    self._scale(deployment, there[deployment.id])
                else:
                    self._deploy(deployment)
            if dict(before.traffic_split) != dict(split):
                self._split(split)
        except (VertexError, exceptions.NotFound, exceptions.Conflict) as error:
            reason = str(error) if isinstance(error, VertexError) else told(error)
            left = self._clean(new, wait_for_it=not isinstance(error, CancelledError))
            raise VertexError(f"endpoint {self._name}: {reason}; {left}") from None
        ids = {d.id for d in wanted.values()}
        self._undeploy([m.id for m in self._ours() if m.id not in ids])
        return self.read()

    def empty(self) -> None:
        """Take everything of this stack's off the endpoint.

        Raises:
            VertexError: Something could not be undeployed, and is named: it is billed until it is.
        """
        if self.read() is None:
            return
        endpoint = self._settled()
        ours = [m.id for m in self._ours()]
        others = {k: v for k, v in endpoint.traffic_split.items() if k not in ours}
        if not others and endpoint.traffic_split:
            self._split({})
        self._undeploy(ours)

    def leftovers(self, endpoint: Any, wanted: Iterable[str]) -> list[str]:
        """Ids of deployed models that are this stack's by their mark, and not among those it wants."""
        return sorted(m.id for m in endpoint.deployed_models if m.display_name.endswith(mark(self._owner)) and m.id not in wanted)

    def _settled(self) -> Any:
        """The endpoint, once nothing changes it any more."""
        settle(self._vertex, self._vertex.endpoints, self._endpoint, f"endpoint {self._name}", self._deadline())
        endpoint = self.read()
        if endpoint is None:
            raise VertexError(f"{self._endpoint} does not exist")
        return endpoint

    def _ours(self) -> list[Any]:
        endpoint = self.read()
        return [] if endpoint is None else [m for m in endpoint.deployed_models if m.display_name.endswith(mark(self._owner))]

    def _deploy(self, deployment: Deployment) -> None:
        what = f"deploying {self._name}-{deployment.key} on {deployment.given['machine_type']}"
        say(f"{what}: begun; a large model takes a quarter of an hour and more")
        request = {"endpoint": self._endpoint, "deployed_model": deployment.message(self._name, self._owner)}
        try:
            begun: Any = self._vertex.ask(self._vertex.endpoints.deploy_model, request)
        except exceptions.Conflict:
            # The answer to a first try was lost.
            settle(self._vertex, self._vertex.endpoints, self._endpoint, what, self._deadline())
        else:
            wait(self._vertex.endpoints, begun.operation.name, what, self._deadline())
        if deployment.id not in {m.id for m in self._ours()}:
            raise VertexError(f"{what}: Vertex AI says that it is done, and it is not there")
        say(f"{what}: done")

    def _scale(self, deployment: Deployment, there: Any) -> None:
        """Replicas and metrics, in place."""
        has = there.dedicated_resources
        now = {
            "min_replica_count": has.min_replica_count,
            "max_replica_count": has.max_replica_count or has.min_replica_count,
            "autoscaling_metric_specs": sorted(
                ({"metric_name": s.metric_name, "target": s.target} for s in has.autoscaling_metric_specs),
                key=lambda s: str(s["metric_name"]),
            ),
        }
        wanted = deployment.scaling()
        wanted["autoscaling_metric_specs"] = sorted(wanted["autoscaling_metric_specs"], key=lambda s: str(s["metric_name"]))
        if now == wanted:
            return
        what = f"scaling {self._name}-{deployment.key}"
        request = {
            "endpoint": self._endpoint,
            "deployed_model": {"id": deployment.id, "dedicated_resources": wanted},
            "update_mask": {"paths": [f"dedicated_resources.{path}" for path in SCALING_PATHS]},
        }
        begun: Any = self._vertex.ask(self._vertex.endpoints.mutate_deployed_model, request)
        wait(self._vertex.endpoints, begun.operation.name, what, self._deadline())

    def _split(self, split: Mapping[str, int]) -> None:
        """All at once: at no instant does a share go nowhere."""
        endpoint = {"name": self._endpoint, "traffic_split": dict(split)}
        request = {"endpoint": endpoint, "update_mask": {"paths": ["traffic_split"]}}
        self._vertex.ask(self._vertex.endpoints.update_endpoint, request)

    def _undeploy(self, ids: Iterable[str], *, wait_for_it: bool = True) -> None:
        failed: list[str] = []
        for id_ in ids:
            what = f"undeploying {id_} from {self._name}"
            try:
                request = {"endpoint": self._endpoint, "deployed_model_id": id_}
                begun: Any = self._vertex.ask(self._vertex.endpoints.undeploy_model, request)
                if wait_for_it:
                    wait(self._vertex.endpoints, begun.operation.name, what, self._deadline())
            except exceptions.NotFound:
                continue
            except OperationError as error:
                failed.append(str(error))
            except (VertexError, exceptions.Conflict) as error:
                failed.append(f"{what} failed: {error if isinstance(error, VertexError) else told(error)}")
        if failed:
            raise VertexError(
                f"{'; '.join(failed)}. It is billed until it is undeployed: run `up` again, or "
                f"`gcloud ai endpoints undeploy-model {self._endpoint} --deployed-model-id=ID`"
            )

    def _clean(self, new: Mapping[str, Deployment], *, wait_for_it: bool) -> str:
        """What became of what this run made, in words."""
        try:
            found = self.read()
            half = [] if found is None else [m.id for m in found.deployed_models if m.id in new]
            if found is None or not half:
                return "nothing of what was to be deployed is there, so nothing new is billed"
            # The traffic may have moved already, in an earlier run: what it is on stays.
            busy = sorted(id_ for id_ in half if found.traffic_split.get(id_))
            self._undeploy([id_ for id_ in half if id_ not in busy], wait_for_it=wait_for_it)
        except VertexError as error:
            return f"and what was deployed of it may be left, and billed: {error}"
        gone = ", ".join(f"{self._name}-{new[id_].key} ({id_})" for id_ in half if id_ not in busy)
        kept = ", ".join(f"{self._name}-{new[id_].key} ({id_})" for id_ in busy)
        words = [f"{gone} is undeployed again, so nothing new is billed"] if gone else []
        return "; ".join([*words, *([f"{kept} has traffic already and stays"] if kept else [])])

    def _deadline(self) -> float:
        return time.monotonic() + self._seconds
