"""The script that posts a comment, against a server here that answers as GitHub's REST API does."""

import json
import runpy
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

SCRIPT = Path(__file__).parents[2] / ".github" / "scripts" / "post_comment.py"
MARKER = "<!-- slipway-plan -->"
BOT = {"login": "github-actions[bot]"}


class GitHub:
    """One repository: its open pull requests and the comments on number 7."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = [{"number": 7, "head": {"sha": "abc"}}]
        self.comments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.failures: list[int] = []
        self.url = ""

    def answer(self, method: str, target: str, token: str | None, body: Any) -> tuple[int, Any]:
        address = urlsplit(target)
        query = parse_qs(address.query)
        self.asked.append(f"{method} {address.path}")
        if self.failures:
            return self.failures.pop(0), {"message": "failed"}
        if token != "Bearer secret-token":
            return 401, {"message": "Bad credentials"}
        page = int(query.get("page", ["1"])[0]) - 1
        match method, address.path.removeprefix("/repos/me/shop/").split("/"):
            case "GET", ["pulls"]:
                return 200, self.pulls if query["head"] == ["fork:topic/a b"] and page == 0 else []
            case "GET", ["issues", "7", "comments"]:
                return 200, self.comments[100 * page : 100 * (page + 1)]
            case "POST", ["issues", "7", "comments"]:
                self.comments.append({"id": len(self.comments), "user": BOT, **body})
                return 201, self.comments[-1]
            case "PATCH", ["issues", "comments", number]:
                self.comments[int(number)].update(body)
                return 200, self.comments[int(number)]
            case _:
                return 404, {"message": "Not Found"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, data = state.answer(self.command, self.path, self.headers.get("authorization"), body)
            answer = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 -- http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def post(github: GitHub, tmp_path: Path, text: str, sha: str = "abc", **environment: str) -> int:
    body = tmp_path / "comment.md"
    body.write_text(text)
    arguments = ["--body", str(body), "--head", "fork:topic/a b", "--sha", sha]
    given = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "me/shop", "GITHUB_TOKEN": "secret-token", "RETRY_SECONDS": "0"}
    main: Any = runpy.run_path(str(SCRIPT))["main"]
    return main(arguments, {**given, **environment})


def test_posted_once_then_updated_then_left(github: GitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    github.comments = [{"id": i, "user": {"login": "someone"}, "body": f"{MARKER}\nnot ours {i}"} for i in range(150)]
    for text in ("one", "two", "two"):
        assert post(github, tmp_path, f"{MARKER}\n{text}\n") == 0
    assert capsys.readouterr().out.splitlines() == ["posted on #7", "updated on #7", "#7 has this comment already"]
    assert [c["body"] for c in github.comments[150:]] == [f"{MARKER}\ntwo\n"]
    assert all("not ours" in c["body"] for c in github.comments[:150])
    assert [a.split()[0] for a in github.asked if not a.startswith("GET")] == ["POST", "PATCH"]


def test_a_commit_that_is_no_longer_the_newest_posts_nothing(
    github: GitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert post(github, tmp_path, f"{MARKER}\none\n", sha="old") == 0
    assert "nothing to post" in capsys.readouterr().out
    assert github.comments == []


def test_mentions_call_nobody_and_digests_stay(github: GitHub, tmp_path: Path) -> None:
    post(github, tmp_path, f"{MARKER}\nhello @team, image@sha256:0 (@me)\n")
    assert github.comments[0]["body"] == f"{MARKER}\nhello @\u200bteam, image@sha256:0 (@\u200bme)\n"


def test_a_long_text_is_cut(github: GitHub, tmp_path: Path) -> None:
    post(github, tmp_path, MARKER + "x" * 100_000)
    assert len(github.comments[0]["body"]) < 65_536


def test_a_server_that_fails_is_asked_again(github: GitHub, tmp_path: Path) -> None:
    github.failures = [502, 503]
    assert post(github, tmp_path, f"{MARKER}\none\n") == 0
    assert len(github.comments) == 1


@pytest.mark.parametrize(
    ("text", "environment", "failures", "said"),
    [
        ("something else", {}, [], "does not begin with"),
        (MARKER, {"GITHUB_TOKEN": ""}, [], "not set: GITHUB_TOKEN"),
        (MARKER, {"GITHUB_TOKEN": "wrong"}, [], "401 Unauthorized"),
        (MARKER, {"GITHUB_API_URL": "http://127.0.0.1:1"}, [], "refused"),
        (MARKER, {}, [500, 500, 500], "500 Internal Server Error"),
    ],
)
def test_what_fails_is_told_in_a_line_without_the_token(
    github: GitHub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    environment: dict[str, str],
    failures: list[int],
    said: str,
) -> None:
    github.failures = failures
    assert post(github, tmp_path, text, **environment) == 1
    error = capsys.readouterr().err
    assert said in error
    assert (error.count("\n"), "secret-token" in error) == (1, False)
    assert github.comments == []


def test_the_script_needs_nothing_but_python() -> None:
    imported = {
        line.split()[1].split(".")[0] for line in SCRIPT.read_text().splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= sys.stdlib_module_names
