#!/usr/bin/env bash
# Everything that this machine can test, and in plain words what it cannot.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

"$bin/ruff" format --check --quiet
"$bin/ruff" check --quiet
"$bin/pyright" | tail -n 1
"$bin/zizmor" --offline --quiet .github/workflows

"$bin/coverage" erase
# Benchmarks and the tiers that start servers share the machine's cores: two workers at most.
"$bin/pytest" -n 2 --dist loadgroup --cov --cov-report= "$@"
"$bin/coverage" report --skip-covered --format=total >/dev/null
"$bin/coverage" report --include='infra/slipway/*' | tail -n 1 | sed 's/^TOTAL/coverage of slipway:       /'
"$bin/coverage" report --include='app/slipway_router/*' | tail -n 1 | sed 's/^TOTAL/coverage of slipway_router:/'
