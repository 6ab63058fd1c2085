"""`slipway-router key`, with a Redis and without."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.app.tenancy.real_redis import needs_redis, redis_at

from slipway_router.commands.key import main
from slipway_router.config import Config
from slipway_router.keys import Keys

BACKEND = {"name": "one", "url": "http://127.0.0.1:1/v1", "model": "mock"}


def config(folder: Path, **more: Any) -> str:
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump({"backends": [BACKEND], **more}))
    return str(path)


def test_without_redis_the_entry_is_printed_and_is_what_a_configuration_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["create", "shop", "--config", config(tmp_path), "--tier", "paid", "--requests-per-minute", "100"]
    assert main([*command, "--monthly-budget", "12.50", "--model", "mock"]) == 0
    out, err = capsys.readouterr()
    key = out.strip()
    assert "\n" not in key
    assert key not in err
    entries = yaml.safe_load(err.split("\n\n", 1)[1])
    parsed = Config.parse({"backends": [BACKEND], "keys": entries})
    caller = Keys(parsed.keys, {}).caller(f"Bearer {key}".encode())
    assert (caller.name, caller.tier) == ("shop", "paid")
    assert caller.tenant is not None
    assert caller.tenant.requests is not None
    assert caller.tenant.requests.most == 100
    assert key.encode() not in (tmp_path / "router.yaml").read_bytes()


@needs_redis
def test_with_redis_it_is_kept_there_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with redis_at(tmp_path) as redis:
        path = config(
            tmp_path, redis={**redis.settings, "keys": True}, keys=[{"name": "old", "sha256": "0" * 64, "tier": "paid"}]
        )
        assert main(["create", "shop", "--config", path, "--tokens-per-minute", "5000", "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert (made["kept"], made["entry"]["name"]) == ("redis", "shop")
        assert main(["create", "shop", "--config", path]) == 1
        assert "take another name" in capsys.readouterr().err
        assert main(["create", "old", "--config", path]) == 1
        capsys.readouterr()

        assert main(["list", "--config", path, "--json"]) == 0
        told = capsys.readouterr().out
        assert [(k["name"], k["kept"]) for k in json.loads(told)["keys"]] == [("old", "configuration"), ("shop", "redis")]
        secret, digest = made["key"], made["entry"]["hash"].rsplit(":", 1)[1]
        assert main(["list", "--config", path]) == 0
        table = capsys.readouterr().out
        assert "5000" in table
        for text in (told, table):
            assert secret not in text
            assert digest not in text
        # What Redis wrote to its disk has the hash and not the key.
        kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert digest.encode() in kept
        assert secret.encode() not in kept
        assert secret.rsplit("_", 1)[1].encode() not in kept

        assert main(["revoke", "shop", "--config", path]) == 0
        assert main(["revoke", "shop", "--config", path]) == 1
        assert main(["revoke", "old", "--config", path, "--json"]) == 0
        capsys.readouterr()
        assert main(["list", "--config", path]) == 0
        shown = capsys.readouterr().out
        assert "shop" not in shown
        assert "revoked" in shown
        redis.kill()
        for command in (["create", "new"], ["list"], ["revoke", "old"]):
            assert main([*command, "--config", path]) == 3
            assert "Redis cannot be asked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", "Shop"], 2, "name is 'Shop'; give lower case"),
        (["create", "shop", "--model", "gpt"], 2, "names 'gpt', which cannot be asked for here; there are 'auto', 'mock', 'one'"),
        (["revoke", "shop"], 1, "there is none of this name"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--config", config(tmp_path)]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--requests-per-minute", "0"], ["--monthly-budget", "-1"], ["--monthly-budget", "nan"], ["--tier", "gold"]]
)
def test_wrong_arguments_are_refused(wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["create", "shop", "--config", config(tmp_path), *wrong])
    assert refused.value.code == 2


@needs_redis
def test_a_password_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, redis={"url": "redis://127.0.0.1:1", "password_env": "NO_SUCH_VARIABLE", "keys": True})
    assert main(["list", "--config", path]) == 2
    assert "redis.password_env: names the environment variable NO_SUCH_VARIABLE" in capsys.readouterr().err
