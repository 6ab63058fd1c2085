"""The vector stores that a VectorStore can run, and what is different about each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

DATA = "/data"


class VectorEngine(StrEnum):
    """Which vector store runs."""

    QDRANT = "qdrant"
    """Qdrant, over HTTP on port 6333 and gRPC on 6334, with an API key."""
    CHROMA = "chroma"
    """Chroma, over HTTP on port 8000. Since release 1.0 it knows no keys: who may connect is all that guards it."""


@dataclass(frozen=True)
class VectorEngineFacts:
    """What runs, and how it is asked."""

    image: str
    ports: Mapping[str, int]
    """By name; `http` is the one of the address."""
    command: Sequence[str]
    ready: str
    """Path that answers 200 once the store can be asked."""
    live: str
    """Path that answers 200 as long as the process is not stuck."""
    keyed: bool
    """Whether it can ask clients for an API key."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    key_env: str = ""
    """Variable from which it takes the key."""
    working_dir: str = "/"


ENGINES: Mapping[VectorEngine, VectorEngineFacts] = {
    VectorEngine.QDRANT: VectorEngineFacts(
        image="qdrant/qdrant:v1.17.0",
        ports={"http": 6333, "grpc": 6334},
        # Not the image's entrypoint, which would start it again in a mode that refuses work, after it was killed for its memory.
        command=("./qdrant",),
        ready="/readyz",
        live="/livez",
        keyed=True,
        env={
            "QDRANT__STORAGE__STORAGE_PATH": f"{DATA}/storage",
            "QDRANT__STORAGE__SNAPSHOTS_PATH": f"{DATA}/snapshots",
            # It says by a file that it has begun, by default beside its binary, where nothing can be written.
            "QDRANT_INIT_FILE_PATH": f"{DATA}/.qdrant-initialized",
            "QDRANT__SERVICE__GRPC_PORT": "6334",
            "QDRANT__TELEMETRY_DISABLED": "true",
        },
        key_env="QDRANT__SERVICE__API_KEY",
        working_dir="/qdrant",
    ),
    VectorEngine.CHROMA: VectorEngineFacts(
        image="chromadb/chroma:1.5.9",
        ports={"http": 8000},
        command=("dumb-init", "--", "chroma", "run", "--path", DATA, "--host", "0.0.0.0", "--port", "8000"),  # noqa: S104 -- a pod
        ready="/api/v2/healthcheck",
        live="/api/v2/heartbeat",
        keyed=False,
        env={"HOME": "/tmp"},  # noqa: S108 -- a mount
    ),
}
