#!/usr/bin/env bash
# Remakes the lock files. What is pinned stays as it is unless `--upgrade` (or `--upgrade-package NAME`) is given.
#
#   constraints.txt       everything: `pip install --no-deps --require-hashes -r constraints.txt`
#   requirements.txt      what `make up` needs: no cloud's SDK, no developer's tool
#   app/requirements.txt  what the router's image needs: no Pulumi
#   tests/policy/         checkov, in an environment of its own
#   tests/stores/         Qdrant's client and Chroma's server alone, in an environment of their own
#   tests/clients/        the clients that are tried on the router: requirements.txt, and node/package-lock.json where npm is
#   app/requirements-clouds.txt  the same, and what it needs to ask AWS and Google Cloud
#
# A lock names everything, so pip resolves nothing (`--no-deps`): its resolver would look at newer releases for an extra
# such as coverage[toml], and refuse them. The project's own folder has no hash, so it is installed after its dependencies,
# by `pip install --no-deps --no-build-isolation -e .`, and hatchling, which builds it, is in every lock but the image's.
set -eu
cd "$(dirname "$0")/.."

lock() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header --no-emit-index-url "$@"
}

lock "$@" --all-extras pyproject.toml --output-file constraints.txt
echo hatchling | lock --extra local --constraint constraints.txt pyproject.toml - --output-file requirements.txt
lock --constraint constraints.txt app/requirements.in --output-file app/requirements.txt
lock "$@" tests/clients/requirements.in --output-file tests/clients/requirements.txt
lock "$@" tests/policy/requirements.in --output-file tests/policy/requirements.txt
lock "$@" tests/stores/requirements.in --output-file tests/stores/requirements.txt
lock "$@" --no-deps tests/stores/chroma.in --output-file tests/stores/chroma.txt
if command -v npm >/dev/null; then
  npm install --prefix tests/clients/node --package-lock-only --omit-lockfile-registry-resolved=true --silent
fi
lock --constraint constraints.txt app/requirements-clouds.in --output-file app/requirements-clouds.txt
