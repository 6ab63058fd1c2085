# ruff: noqa: T201 -- what a script prints is its result
"""Post a comment on the pull request of a commit, or update the one that was posted before.

Runs with a token that may write to pull requests, on text from a run that anybody may start: so it needs nothing but Python, runs
nothing, and takes the text for what it is.

    post_comment.py --body FILE --head OWNER:BRANCH --sha SHA

GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN come from the environment.
"""

import argparse
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MARKER = "<!-- slipway-plan -->"
LONGEST = 65_000
BOT = "github-actions[bot]"
ATTEMPTS = 3


class ApiError(Exception):
    """What GitHub answered, in one line."""


def request(method: str, path: str, environment: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Any:
    """One call of GitHub's REST API; tried again when the server fails."""
    url = f"{environment.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{environment['GITHUB_REPOSITORY']}/{path}"
    data = None if body is None else json.dumps(body).encode()
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {environment['GITHUB_TOKEN']}",
        "Content-Type": "application/json",
        "User-Agent": "slipway",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    for attempt in range(1, ATTEMPTS + 1):
        try:
            asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 -- GitHub's own address
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 or attempt == ATTEMPTS:
                    raise ApiError(f"{method} {path}: {error.code} {error.reason}") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            # A comment that was made although its answer was lost would be made twice.
            if method == "POST" or attempt == ATTEMPTS:
                raise ApiError(f"{method} {path}: {error}") from None
        time.sleep(attempt * float(environment.get("RETRY_SECONDS", "2")))
    raise AssertionError("unreachable")


def pages(path: str, environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Every entry of a list, page by page."""
    separator = "&" if "?" in path else "?"
    for page in range(1, 101):
        entries = request("GET", f"{path}{separator}per_page=100&page={page}", environment)
        yield from entries
        if len(entries) < 100:
            return


def pull_request(head: str, sha: str, environment: Mapping[str, str]) -> int | None:
    """Number of the open pull request whose newest commit this is. None when it was closed, or has a newer commit."""
    query = urllib.parse.urlencode({"state": "open", "head": head})
    return next((p["number"] for p in pages(f"pulls?{query}", environment) if p["head"]["sha"] == sha), None)


def safe(text: str) -> str:
    """The text, short enough, and without mentions: nobody is called by what a stranger's program prints."""
    text = re.sub(r"(?<![\w`])@(?=[A-Za-z0-9])", "@\u200b", text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\n(cut)\n"


def post(body: str, head: str, sha: str, environment: Mapping[str, str]) -> str:
    """Post or update; returns what was done."""
    number = pull_request(head, sha, environment)
    if number is None:
        return f"no open pull request of {head} is at {sha}: nothing to post"
    body = safe(body)
    # Whoever writes the marker into a comment of their own does not get it changed.
    mine = (c for c in pages(f"issues/{number}/comments", environment) if c["user"]["login"] == BOT)
    old = next((c for c in mine if c["body"].startswith(MARKER)), None)
    if old is None:
        request("POST", f"issues/{number}/comments", environment, {"body": body})
        return f"posted on #{number}"
    if old["body"].replace("\r\n", "\n").strip() == body.strip():
        return f"#{number} has this comment already"
    request("PATCH", f"issues/comments/{old['id']}", environment, {"body": body})
    return f"updated on #{number}"


def main(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run; 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--body", type=Path, required=True, help="file with the comment")
    parser.add_argument("--head", required=True, help="OWNER:BRANCH that the pull request comes from")
    parser.add_argument("--sha", required=True, help="commit that the comment is about")
    args = parser.parse_args(argv)
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not environment.get(name)]
    if missing:
        print(f"not set: {', '.join(missing)}", file=sys.stderr)
        return 1
    try:
        body = args.body.read_text(encoding="utf-8")
        if not body.startswith(MARKER):
            print(f"{args.body} is not a plan's comment: it does not begin with {MARKER}", file=sys.stderr)
            return 1
        print(post(body, args.head, args.sha, environment))
    except (ApiError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
