"""What engines written in Python have in common: where they keep what they write, and how they are asked whether they answer."""

import json

from slipway.kubernetes.model_engine import CACHE, PORT, ServerSettings

# Asks for one token, and so tells that the weights are loaded and the kernels compiled. Once, at the start: in each readiness
# check it would queue behind real requests, and a busy server would be taken out of service for being busy.
# The image has no curl in some variants, and Python in all.
ONE_TOKEN = """
import sys, urllib.request as u
try:
    u.build_opener(u.ProxyHandler({})).open(
        u.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"}), timeout=25
    ).read()
except Exception as e:
    sys.exit(f"the model does not answer yet: {e}")
""".strip()


def environment(settings: ServerSettings) -> dict[str, str]:
    """Every cache on the volume, the hub and nobody else on the network."""
    env = {
        # The root file system is read-only: all that the engine, PyTorch and Triton write goes to the volume, where it also
        # shortens the next start.
        "HOME": CACHE,
        "HF_HOME": f"{CACHE}/huggingface",
        "XDG_CACHE_HOME": f"{CACHE}/xdg",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "OUTLINES_CACHE_DIR": f"{CACHE}/outlines",
        # PyTorch asks for the user's name at import, and an image may not know the user's number.
        "USER": "engine",
        "HF_ENDPOINT": settings.hub_endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if settings.offline:
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return env


def question(settings: ServerSettings) -> tuple[str, str]:
    """Address and body of the smallest question that the model can be asked."""
    base = f"http://127.0.0.1:{PORT}/v1"
    if list(settings.tasks) == ["embeddings"]:
        return f"{base}/embeddings", json.dumps({"model": settings.served_name, "input": "a"})
    return f"{base}/completions", json.dumps({"model": settings.served_name, "prompt": "a", "max_tokens": 1})
