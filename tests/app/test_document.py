"""The OpenAPI document, held against the router as a process by schemathesis: good and bad requests made of the document."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app.fake_upstream import Exit, FakeUpstream, completion, models, stream, whole
from tests.app.process import running
from tests.app.serving import backend
from tests.clients.stage import in_thread

KEY = "key-of-the-test"
UNDECIDABLE = "positive_data_acceptance"
"""A document cannot say which numbers, texts and kinds of content a backend takes; all other checks apply."""


async def answer(out: Exit) -> None:
    await (stream("hello", " there") if out.got.json.get("stream") else whole(completion()))(out)


@pytest.mark.timeout(600)
def test_the_router_does_what_its_document_says(tmp_path: Path) -> None:
    up = FakeUpstream(answer, models())
    with in_thread(up):
        config = tmp_path / "router.json"
        told = {"backends": [backend(up, tasks=["chat", "completions", "embeddings"])], "keys": [{"name": "k", "env": "A_KEY"}]}
        config.write_text(json.dumps(told))
        with running(config, {"A_KEY": KEY}) as (_, url, log):
            command = [
                str(Path(sys.executable).with_name("schemathesis")),
                "--no-color",
                "run",
                f"{url}/openapi.json",
                "--url",
                url,
                "-H",
                f"Authorization: Bearer {KEY}",
            ]
            command += ["--exclude-checks", UNDECIDABLE, "--phases", "coverage,fuzzing", "--seed", "1", "--max-examples", "10"]
            command += ["--request-timeout", "60", "--continue-on-failure", "--suppress-health-check", "all"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert "unexpected" not in "".join(log)
