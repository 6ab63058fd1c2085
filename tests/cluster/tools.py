"""The programs of the test cluster, built from source at the versions that the Go modules in tools/ pin.

`make cluster` runs this file. It needs Go and nothing of the project's own packages.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "tools"
# Three modules, because they do not agree on the versions of what they share: metrics-server needs a newer cel-go than the
# API server, kubeconform a newer yaml than actionlint.
KUBERNETES, EXTRA, LINT = ROOT, ROOT / "extra", ROOT / "lint"
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
EXTRA_PROGRAMS = {
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "promtool": "github.com/prometheus/prometheus/cmd/promtool",
}
LINT_PROGRAMS = {
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint",
    "kube-score": "github.com/zegl/kube-score/cmd/kube-score",
}
STAGES = "kwok.yaml"
"""What kwok's nodes and pods do, as its module has it: data, which the program itself does not carry."""
_STAGE_FILES = (
    "stage/node/fast/node-initialize.yaml",
    "stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "stage/pod/fast/pod-ready.yaml",
    "stage/pod/fast/pod-complete.yaml",
    "stage/pod/fast/pod-delete.yaml",
    "metrics/usage/usage-from-annotation.yaml",
    "metrics/resource/metrics-resource.yaml",
)
_SMALL = "-s -w"


class BuildError(Exception):
    """The programs could not be built; the text says why."""


def folder() -> Path:
    """Where the programs are or would be: SLIPWAY_TOOLS, else a folder of the user's cache, named by the versions pinned."""
    if given := os.environ.get("SLIPWAY_TOOLS"):
        return Path(given)
    pinned = hashlib.sha256(Path(__file__).read_bytes())
    for module in (KUBERNETES, EXTRA, LINT):
        for name in ("go.mod", "go.sum"):
            pinned.update((module / name).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "slipway" / "tools" / pinned.hexdigest()[:16]


def missing() -> str | None:
    """Why there is no cluster to start, and what to do; None where all is there."""
    if not (folder() / STAGES).exists():
        needs = "" if shutil.which("go") else ", which needs Go 1.26 or later (go.dev/dl), and there is none on PATH"
        return f"the test cluster is not built: run `make cluster` first{needs}"
    if not shutil.which("openssl"):
        return "the test cluster needs openssl on PATH, for its certificates"
    return None


def build() -> Path:
    """Build what is not there yet; a second one who asks at the same time waits for the first.

    Raises:
        BuildError: there is no Go, or a program does not build.
    """
    target = folder()
    if (target / STAGES).exists():
        return target
    if not shutil.which("go"):
        raise BuildError("there is no 'go' on PATH; install Go 1.26 or later, from go.dev/dl or your system's packages")
    with _alone(target):
        if (target / STAGES).exists():
            return target
        partial = target.with_name(f"{target.name}.partial")
        partial.mkdir(exist_ok=True)
        print(f"Building Kubernetes' control plane and the tools beside it into {target} (once, about 10 minutes)", flush=True)
        version = _go(KUBERNETES, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
        packages = [f"k8s.io/kubernetes/cmd/{program}" for program in KUBERNETES_PROGRAMS]
        _timed(" ".join(KUBERNETES_PROGRAMS), KUBERNETES, partial, _stamp(version), *packages)
        _timed("etcd", KUBERNETES, partial / "etcd", _SMALL, "go.etcd.io/etcd/server/v3")
        kwok = json.loads(_go(EXTRA, "mod", "download", "-json", "sigs.k8s.io/kwok"))
        named = f"{_SMALL} -X sigs.k8s.io/kwok/pkg/consts.Version={kwok['Version'].removeprefix('v')}"
        _timed(" ".join(EXTRA_PROGRAMS), EXTRA, partial, named, *EXTRA_PROGRAMS.values())
        _timed(" ".join(LINT_PROGRAMS), LINT, partial, _SMALL, *LINT_PROGRAMS.values())
        stages = [(Path(kwok["Dir"]) / "kustomize" / name).read_text() for name in _STAGE_FILES]
        (partial / STAGES).write_text("---\n".join(stages))
        partial.rename(target)
    return target


def _stamp(version: str) -> str:
    """The linker's flags by which Kubernetes' programs know their version, as its own build sets them."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    known = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    places = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join([_SMALL, *(f"-X {place}.{key}={value}" for place in places for key, value in known.items())])


def _timed(what: str, module: Path, output: Path, flags: str, *packages: str) -> None:
    began = time.monotonic()
    # With a slash at the end Go takes the output for a folder.
    place = f"{output}/" if output.is_dir() else str(output)
    _go(module, "build", "-trimpath", "-ldflags", flags, "-o", place, *packages)
    print(f"  {what}: {time.monotonic() - began:.0f} s", flush=True)


def _go(module: Path, *words: str) -> str:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly", "GOWORK": "off"}
    done = subprocess.run(["go", *words], cwd=module, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BuildError(f"`go {words[0]}` failed in {module}, as told above")
    return done.stdout.strip()


@contextlib.contextmanager
def _alone(target: Path) -> Generator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    # A build takes every core for minutes; what else runs here goes first.
    os.nice(10)
    try:
        print(f"The test cluster's programs are in {build()}")
    except BuildError as error:
        sys.exit(f"make cluster: {error}")
