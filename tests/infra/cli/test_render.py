"""`slipway render` as a user runs it."""

from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from slipway.cli.render import render

SHOP = Path(__file__).parent.parent / "plan" / "programs" / "shop"


def run(*args: str) -> Result:
    app = typer.Typer()
    app.command()(render)
    return CliRunner().invoke(app, list(args))


def test_manifests_twice_the_same(tmp_path: Path) -> None:
    seen: list[dict[str, bytes]] = []
    for _ in range(2):
        result = run("-s", "dev", "-C", str(SHOP), "-o", str(tmp_path / "out"))
        assert result.exit_code == 0
        assert result.stderr == f"dev: 3 manifests in {tmp_path}/out; then: kubectl apply --server-side -f {tmp_path}/out\n"
        seen.append({p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()})
    assert seen[0] == seen[1]
    assert [n for n in sorted(seen[0]) if n.endswith(".yaml")] == [
        "00-namespace-shop.yaml",
        "50-service-front-service.yaml",
        "60-deployment-front-server.yaml",
    ]


def test_secrets_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    result = run("-s", "prod", "-C", str(SHOP), "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "token (Secret): stringData: is secret" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    result = run("-s", "prod", "-C", str(SHOP), "-o", str(tmp_path), "--skip-secrets")
    assert result.exit_code == 0
    assert "left out: the Secret shop/token with the keys token; make it before you apply the rest\n" in result.stderr
    assert "not rendered: archive (aws:sqs/queue:Queue) is not Kubernetes' own\n" in result.stderr


def test_a_folder_with_other_peoples_files(tmp_path: Path) -> None:
    (tmp_path / "00-namespace-shop.yaml").write_text("mine")
    result = run("-s", "dev", "-C", str(SHOP), "-o", str(tmp_path))
    assert result.exit_code == 2
    assert "not generated here: 00-namespace-shop.yaml" in result.stderr
