"""How a pod goes away without cutting anybody off: the numbers that have to agree, from one place."""

import math
from dataclasses import dataclass

import pulumi_kubernetes as k8s

from slipway.args import Faults

PRE_STOP_SECONDS = 10
"""How long a pod that is to go still takes requests: until every proxy and load balancer has left it out."""
MARGIN_SECONDS = 15
"""Between the last stream's end and the kill: the process has to close its connections and to exit."""

# For an engine that stops at once on SIGTERM, or too soon: its streams are waited for before that is sent.
WAIT_FOR_STREAMS = """
sleep "$1"
i=0
while [ "$i" -lt "$2" ] && curl -s -m 5 "http://127.0.0.1:$3/metrics" | grep -qE "$4"; do
  sleep 1
  i=$((i + 1))
done
""".strip()


@dataclass(frozen=True)
class Drain:
    """A pod's last seconds: first it waits (`pre_stop_seconds`), then SIGTERM comes and streams may end (`stream_seconds`)."""

    pre_stop_seconds: int
    stream_seconds: int

    @classmethod
    def of(cls, pre_stop_seconds: int, longest_stream_seconds: float, faults: Faults) -> "Drain":
        """Tells of its fault under the path `pre_stop_seconds`, the argument of every component that drains."""
        if not 0 <= pre_stop_seconds <= 300:
            faults.add("pre_stop_seconds", f"is {pre_stop_seconds}; give 0 to 300 seconds")
        return cls(pre_stop_seconds, math.ceil(longest_stream_seconds))

    @property
    def grace_seconds(self) -> int:
        """For `terminationGracePeriodSeconds`, which runs from before the wait: wait + longest stream + margin."""
        return self.pre_stop_seconds + self.stream_seconds + MARGIN_SECONDS

    def wait_for_streams(self, port: int, busy: str) -> k8s.core.v1.LifecycleHandlerArgsDict:
        """The wait, and then until no stream is left, by a shell and a curl that the image must have.

        Args:
            port: Where the server tells its metrics, at `/metrics`.
            busy: Extended regular expression of a line there that tells of a request that is not over.
        """
        told = [str(self.pre_stop_seconds), str(self.stream_seconds), str(port), busy]
        return {"exec_": {"command": ["/bin/sh", "-c", WAIT_FOR_STREAMS, "drain", *told]}}

    def lifecycle(self) -> k8s.core.v1.LifecycleArgsDict:
        """The wait, by kubelet itself (`sleep`, since Kubernetes 1.30), so that the image needs no shell."""
        return {"pre_stop": {"sleep": {"seconds": self.pre_stop_seconds}}} if self.pre_stop_seconds else {}
