"""A Kubernetes control plane as plain processes on the loopback: nodes and pods are kwok's, all else is the real thing.

It proves admission, defaulting, scheduling and the controllers. No container runs: every pod that is scheduled becomes ready.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster import certificates, contents
from tests.cluster.tools import STAGES

METRICS_SECONDS = 10
_USERS = {
    "admin": ("admin", "system:masters"),
    "kwok": ("kwok", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
}


class ClusterError(Exception):
    """The cluster, or a command to it, failed. The text has what it wrote."""


class Process:
    """One program with its log."""

    def __init__(self, program: Path, home: Path, *words: str) -> None:
        self.log = home / f"{program.name}.log"
        # Ended with us even where we are killed: a control plane left behind would run for ever.
        bound = ["setpriv", "--pdeathsig=KILL", "--"] if shutil.which("setpriv") else []
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*bound, str(program), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.name, self.pid = program.name, self._process.pid

    def check(self) -> None:
        """Raise ClusterError where it ended."""
        if (code := self._process.poll()) is not None:
            raise ClusterError(f"{self.name} ended with {code}:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    tools: Path
    """Folder of its programs."""
    kubeconfig: Path
    processes: Sequence[Process]

    def run(self, *words: str, stdin: str | None = None, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run kubectl, whatever comes of it."""
        return subprocess.run(
            [str(self.tools / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl; returns what it wrote to standard output.

        Raises:
            ClusterError: It failed.
        """
        done = self.run(*words, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def get(self, *words: str) -> Any:
        """What `kubectl get` finds, as data."""
        raw = any(word.startswith("--raw") for word in words)
        return json.loads(self.kubectl("get", *words, *(() if raw else ("--output=json",))))

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The list that `kubectl get` finds."""
        return self.get(*words)["items"]

    def apply(self, documents: str, *words: str) -> str:
        """Apply server-side. A field that Kubernetes does not know is an error, and so is a warning, of pod security say."""
        strict = ("--server-side", "--validate=strict", "--warnings-as-errors", "--field-manager=slipway")
        return self.kubectl("apply", *strict, *words, "--filename=-", stdin=documents)

    def create(self, *objects: dict[str, Any]) -> None:
        """Apply objects given as data."""
        self.apply(yaml.safe_dump_all(objects))

    def namespace(self, name: str, level: str = "restricted") -> str:
        """Make a namespace whose pods must be at a level of Pod Security, and of which pods are warned too."""
        labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn", "audit")}
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        # Pods are refused until the controller has made it.
        eventually(lambda: self.run("get", "--namespace", name, "serviceaccount/default").returncode == 0)
        return name

    def resident_mib(self) -> dict[str, int]:
        """Memory of each process, in MiB."""
        return {p.name: _resident(p.pid) for p in self.processes}


def eventually(holds: Callable[[], object], seconds: float = 30, what: str = "") -> None:
    """Wait until something holds.

    Raises:
        ClusterError: It does not within the time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what or 'what was waited for'}: not within {seconds:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def running(tools: Path, home: Path) -> Generator[Cluster]:
    """A cluster of its own, for as long as the block runs.

    Args:
        tools: Folder of the programs.
        home: Empty folder for what it writes: its keys, its data, its logs.

    Raises:
        ClusterError: It does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    etcd, peer, api, kwok, metrics = _free_ports(5)
    address, pki = f"https://127.0.0.1:{api}", home / "pki"
    certificates.make(pki)
    tokens = {user: secrets.token_hex(32) for user in _USERS}
    rows = [f'{tokens[user]},{name},{user},"{group}"\n' for user, (name, group) in _USERS.items()]
    (home / "tokens.csv").write_text("".join(rows))
    for user, token in tokens.items():
        (home / f"{user}.kubeconfig").write_text(_kubeconfig(address, pki / "ca.crt", token))
    processes: list[Process] = []
    cluster = Cluster(tools, home / "admin.kubeconfig", processes)

    def start(program: str, *words: str) -> Process:
        processes.append(Process(tools / program, home, *words))
        return processes[-1]

    try:
        start("etcd", *_etcd(home / "etcd", etcd, peer))
        server = start("kube-apiserver", *_api_server(home, etcd, api))
        _until_ready(server, address, pki / "ca.crt")
        start("kube-controller-manager", *_controllers(home))
        start("kube-scheduler", *_scheduler(home))
        start("kwok", *_kwok(home, tools, kwok))
        cluster.kubectl("create", "--filename=-", stdin=yaml.safe_dump_all([*contents.nodes(), *contents.storage()]))
        start("metrics-server", *_metrics_server(home, metrics))
        cluster.create(contents.metrics_service(metrics), contents.metrics_api(metrics))
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s", timeout=70)
        eventually(lambda: cluster.run("get", "serviceaccount/default").returncode == 0, what="the default service account")
        yield cluster
    except ClusterError:
        for process in processes:
            process.check()
        raise
    finally:
        # Newest first: none outlives what it talks to.
        for process in reversed(processes):
            process.stop()


def _etcd(data: Path, client: int, peer: int) -> Iterator[str]:
    listen, between = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    yield from ("--name=test", f"--data-dir={data}", "--unsafe-no-fsync", "--log-level=warn")
    yield from (f"--listen-client-urls={listen}", f"--advertise-client-urls={listen}")
    yield from (f"--listen-peer-urls={between}", f"--initial-advertise-peer-urls={between}", f"--initial-cluster=test={between}")


def _api_server(home: Path, etcd: int, port: int) -> Iterator[str]:
    pki = home / "pki"
    yield from (f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}")
    # It refuses to publish a loopback address as its own Service's endpoint.
    yield from ("--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16")
    yield from (f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key")
    yield from (f"--client-ca-file={pki}/ca.crt", f"--token-auth-file={home}/tokens.csv", "--authorization-mode=Node,RBAC")
    yield from ("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki}/accounts.pub")
    yield f"--service-account-signing-key-file={pki}/accounts.key"
    # How it vouches for a user to metrics-server.
    yield from (f"--requestheader-client-ca-file={pki}/ca.crt", "--requestheader-allowed-names=front-proxy")
    yield from ("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group")
    yield "--requestheader-extra-headers-prefix=X-Remote-Extra-"
    yield from (f"--proxy-client-cert-file={pki}/front-proxy.crt", f"--proxy-client-key-file={pki}/front-proxy.key")


def _controllers(home: Path) -> Iterator[str]:
    yield from _component(home, "kube-controller-manager")
    yield from ("--use-service-account-credentials=true", f"--service-account-private-key-file={home}/pki/accounts.key")
    yield f"--root-ca-file={home}/pki/ca.crt"
    # An autoscaler that looks every 15 s, and at no pod in its first 5 minutes, is nothing to wait for in a test.
    yield from ("--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-cpu-initialization-period=5s")
    yield "--horizontal-pod-autoscaler-initial-readiness-delay=2s"


def _scheduler(home: Path) -> Iterator[str]:
    yield from _component(home, "kube-scheduler")


def _component(home: Path, name: str) -> Iterator[str]:
    config = home / f"{name}.kubeconfig"
    yield from (f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}")
    # Without a higher rate they spend seconds waiting for their own limit.
    yield from ("--secure-port=0", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000")


def _kwok(home: Path, tools: Path, port: int) -> Iterator[str]:
    yield from (f"--kubeconfig={home}/kwok.kubeconfig", f"--config={tools / STAGES}", "--cidr=10.244.0.0/16")
    yield from ("--manage-all-nodes=false", "--manage-nodes-with-label-selector=type=kwok", "--node-lease-duration-seconds=40")
    yield from ("--node-ip=127.0.0.1", f"--node-port={port}", f"--server-address=127.0.0.1:{port}")


def _metrics_server(home: Path, port: int) -> Iterator[str]:
    config = home / "admin.kubeconfig"
    yield from (f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}")
    yield from ("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={home}/metrics-server")
    # A scrape must end before the next begins.
    yield from (f"--metric-resolution={METRICS_SECONDS}s", "--kubelet-request-timeout=5s")
    yield from ("--kubelet-use-node-status-port", "--kubelet-insecure-tls", "--kubelet-preferred-address-types=InternalIP")


def _kubeconfig(address: str, ca: Path, token: str) -> str:
    named = {
        "clusters": [{"name": "test", "cluster": {"server": address, "certificate-authority": str(ca)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "test", **named})


def _until_ready(server: Process, address: str, ca: Path) -> None:
    trust = ssl.create_default_context(cafile=str(ca))

    def ready() -> bool:
        server.check()
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2, context=trust) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    eventually(ready, seconds=90, what="an API server that is ready")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different: each is held until all are chosen."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _resident(pid: int) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page // 2**20
