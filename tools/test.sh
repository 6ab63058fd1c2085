#!/usr/bin/env bash
# Everything that this machine can test, and in plain words what it cannot.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

"$bin/ruff" format --check --quiet
"$bin/ruff" check --quiet
"$bin/pyright"
NO_COLOR=1 "$bin/zizmor" --offline --quiet .github/workflows

"$bin/coverage" erase
# Benchmarks and the tiers that start servers share the machine's cores: two workers at most.
"$bin/pytest" -n 2 --dist loadgroup --cov --cov-report= "$@"
"$bin/coverage" combine --quiet --append 2>/dev/null || true # what ended after pytest did
for package in infra/slipway app/slipway_router; do
  echo "coverage of ${package##*/}, branches too: $("$bin/coverage" report --include="$package/*" --format=total) %"
done
