"""What must hold of manifests once they are applied. Each check raises where it does not."""

import json
from typing import cast

import yaml
from tests.cluster.cases import WORKLOADS, Manifests, Object, missing_references, pods_of
from tests.cluster.cluster import Cluster, ClusterError, eventually

KEPT = ("StatefulSet", "PersistentVolumeClaim", "Service", "Namespace")
"""Kinds whose objects hold data, or an address that others use: they outlive every upgrade."""

_COUNTED = {"Job": ("spec", "completions", "succeeded"), "DaemonSet": ("status", "desiredNumberScheduled", "numberReady")}


def complete(cluster: Cluster, manifests: Manifests) -> None:
    """Every workload runs as many ready pods as it asks for, a Job has run them, and all that they refer to is there."""
    assert manifests.of(*WORKLOADS)
    for workload in manifests.of(*WORKLOADS):
        live = cluster.get(workload["kind"], workload["metadata"]["name"], "--namespace", workload["metadata"]["namespace"])
        of, asked_by, ready_by = _COUNTED.get(live["kind"], ("spec", "replicas", "readyReplicas"))
        asked, ready, pods = live[of][asked_by], live["status"].get(ready_by, 0), pods_of(cluster, workload)
        assert ready == len(pods) == asked >= 1, f"{live['metadata']['name']} asks for {asked}, has {len(pods)}, ready {ready}"
        assert missing_references(cluster, workload) == [], f"missing: {missing_references(cluster, workload)}"


def restricted(cluster: Cluster, manifests: Manifests) -> None:
    """The namespace takes no pod below the restricted level, and has the pods of these manifests. One that takes such pods has
    only what reads the nodes' files, and that is restricted but for these."""
    open_ones = {o["metadata"]["name"] for o in manifests.of("Namespace") if _level(o) == "privileged"}
    for namespace in open_ones:
        on_nodes = [w for w in manifests.of(*WORKLOADS) if w["metadata"]["namespace"] == namespace]
        assert {w["kind"] for w in on_nodes} == {"DaemonSet"}, f"{namespace} is open, and has more than what reads nodes' files"
        for workload in on_nodes:
            _but_for_files(cluster, workload, sorted(manifests.namespaces - open_ones)[0])
    for namespace in manifests.namespaces - open_ones:
        loose = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose", "namespace": namespace}}
        spec = {"containers": [{"name": "c", "image": "any:1"}]}
        refused = cluster.run("create", "--filename=-", stdin=yaml.safe_dump({**loose, "spec": spec}))
        assert 'violates PodSecurity "restricted:latest"' in refused.stderr, f"a loose pod: {refused.stderr or 'was taken'}"
    assert all(pods_of(cluster, workload) for workload in manifests.of(*WORKLOADS)), "a workload has no pod"


def steady(cluster: Cluster, manifests: Manifests) -> None:
    """Applying again changes nothing, and `kubectl diff` knows so beforehand."""
    before = _applied(cluster, manifests)
    difference = cluster.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=manifests.text)
    assert difference.returncode == 0, difference.stdout or difference.stderr
    cluster.apply(manifests.text)
    for was, now in zip(before, _applied(cluster, manifests), strict=True):
        assert was == now, f"{now['kind']} {now['metadata']['name']} was {was}, now {now}"


def separate(cluster: Cluster, manifests: Manifests) -> None:
    """Every Service has the pods of its own workload behind it, and no others."""
    for service in manifests.of("Service"):
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        own = [w for w in manifests.of(*WORKLOADS) if service["spec"]["selector"].items() <= _labels(w).items()]
        assert len(own) == 1, f"Service {name} selects the pods of {len(own)} workloads"
        pods = {pod["metadata"]["name"] for pod in pods_of(cluster, own[0])}
        assert pods, f"{own[0]['metadata']['name']} has no pod"
        # Pods of a Job that have ended are behind no Service.
        expected: set[str] = set() if own[0]["kind"] == "Job" else pods

        def behind(of: str = name, where: str = namespace) -> set[str]:
            slices = cluster.items("endpointslices", "--namespace", where, f"--selector=kubernetes.io/service-name={of}")
            return {end["targetRef"]["name"] for s in slices for end in cast("list[Object]", s["endpoints"] or [])}

        # The controller that writes them down comes after the one that made the pods.
        told = f"behind Service {name} nobody but {sorted(expected)}; the pods are {sorted(pods)}"
        eventually(lambda found=behind, wanted=expected: found() == wanted, seconds=15, what=told)


def revisions(cluster: Cluster, manifests: Manifests) -> dict[str, set[str]]:
    """Of every workload the revisions that its pods run. A Job is a revision itself, of what its pods are labelled as."""
    keys = {"Deployment": "pod-template-hash", "StatefulSet": "controller-revision-hash", "DaemonSet": "controller-revision-hash"}
    found: dict[str, set[str]] = {}
    for workload in manifests.of(*WORKLOADS):
        name = workload["metadata"]["name"]
        if workload["kind"] == "Job":
            found[_labels(workload)["app.kubernetes.io/instance"]] = {name}
        else:
            found[name] = {pod["metadata"]["labels"][keys[workload["kind"]]] for pod in pods_of(cluster, workload)}
    return found


def identities(cluster: Cluster, manifests: Manifests) -> dict[str, str]:
    """The identity of every object that must be kept, volumes' claims too, but for those that go with their pod. A new object of
    the same name has another."""
    found: dict[str, str] = {}
    for namespace in manifests.namespaces:
        kinds = ",".join(kind.lower() for kind in KEPT if kind != "Namespace")
        objects = [*cluster.items(kinds, "--namespace", namespace), cluster.get("namespace", namespace)]
        lasting = [o for o in objects if all(owner["kind"] != "Pod" for owner in o["metadata"].get("ownerReferences", ()))]
        found |= {f"{o['kind']} {o['metadata']['name']}": o["metadata"]["uid"] for o in lasting}
    return found


def _level(namespace: Object) -> str | None:
    return namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")


def _but_for_files(cluster: Cluster, workload: Object, namespace: str) -> None:
    """A restricted namespace would take the workload's pods without the folders of the node, and as somebody else than root, who
    owns these; it does not take them with."""
    spec = workload["spec"]["template"]["spec"]
    files = {volume["name"] for volume in spec["volumes"] if "hostPath" in volume}
    (container,) = spec["containers"]
    written = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in files and not mount.get("readOnly")]
    assert files, "it reads no files of the node; run it where all else is"
    assert set(written) <= {"/var/lib/otelcol", "/usr/share/filebeat/data"}, f"it may write to {written}"

    def tried(without: set[str]) -> str:
        kept = {
            **spec,
            "securityContext": {**spec["securityContext"], "runAsNonRoot": True, "runAsUser": 10001},
            "serviceAccountName": "default",
            "volumes": [volume for volume in spec["volumes"] if volume["name"] not in without],
            "containers": [
                {**container, "volumeMounts": [mount for mount in container["volumeMounts"] if mount["name"] not in without]}
            ],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried", "namespace": namespace}, "spec": kept}
        done = cluster.run("create", "--dry-run=server", "--warnings-as-errors", "--filename=-", stdin=yaml.safe_dump(pod))
        return done.stderr if done.returncode else ""

    assert tried(files) == "", tried(files)
    assert 'violates PodSecurity "restricted:latest": restricted volume types' in tried(set()), tried(set())


def _applied(cluster: Cluster, manifests: Manifests) -> list[Object]:
    """The objects as they are, without what controllers write: the status, and with it the version."""
    read = ("get", "--filename=-", "--output=json", "--show-managed-fields")
    live = cast("list[Object]", json.loads(cluster.kubectl(*read, stdin=manifests.text))["items"])
    for o in live:
        o.pop("status", None)
        meta = o["metadata"]
        del meta["resourceVersion"]
        # Told with the time, so that even an apply that changed a field and back would show.
        meta["managedFields"] = [fields for fields in meta["managedFields"] if fields["manager"] == "slipway"]
        if len(meta["managedFields"]) != 1:
            raise ClusterError(f"{o['kind']} {meta['name']}: applied by {len(meta['managedFields'])} managers of one name")
        meta.get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
    return live


def _labels(workload: Object) -> dict[str, str]:
    return workload["spec"]["template"]["metadata"]["labels"]
