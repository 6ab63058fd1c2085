"""Servers that span several nodes each: groups of pods, kept by LeaderWorkerSet (sigs.k8s.io/lws, API version v1).

The group's first pod, the leader, answers clients; the others compute with it. LeaderWorkerSet tells every container who leads
and which it is, starts a whole group anew when one of its pods fails, and replaces group by group.
"""

from collections.abc import Mapping

API_VERSION = "leaderworkerset.x-k8s.io/v1"
KIND = "LeaderWorkerSet"
LEADER: Mapping[str, str] = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
"""The label that it gives to leaders alone."""
GROUP_KEY = "leaderworkerset.sigs.k8s.io/group-key"
"""The label whose value all pods of a group, and no others, have."""
LEADER_ADDRESS, WORKER_INDEX = "$(LWS_LEADER_ADDRESS)", "$(LWS_WORKER_INDEX)"
"""What Kubernetes puts into a command for them: variables that LeaderWorkerSet gives to every container."""
RENDEZVOUS_PORT = 29501
"""Where a group's leader waits for its other pods, and is connected to as long as it runs."""
ANNOTATIONS: Mapping[str, str] = {
    # Else a leader that gives up waiting would restart the group whose other pods still wait for a node, again and again.
    "leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start": "true",
    # What Pulumi waits for.
    "pulumi.com/waitFor": "condition=Available",
}

# What a worker does when it is to end: answers under way need it until the leader has ended them. A worker that goes takes its
# leader with it, and a leader its workers; all of them are told at once. Arguments: port, seconds.
WAIT_FOR_LEADER = """
import os, socket, sys, time
end, missed = time.monotonic() + float(sys.argv[2]), 0
while missed < 3 and time.monotonic() < end:
    try:
        socket.create_connection((os.environ["LWS_LEADER_ADDRESS"], int(sys.argv[1])), 5).close()
        missed = 0
    except OSError:
        missed += 1
    time.sleep(1)
""".strip()
