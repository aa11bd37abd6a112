#!/usr/bin/env bash
# Everything the continuous integration runs; `make test` sets up .venv first. pytest comes last: its closing line ends the log.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1
step() { printf '\n[%4d s] %s\n' "$SECONDS" "$*"; }

step "hand-written files and notebooks: ruff"
bash tools/lint.sh

step "notebooks, library and exported tests agree"
bash tools/check_sync.sh

step "wheel, from the source archive, into environments of its declared dependencies"
python tools/wheel_env.py build/wheel

step "every chapter from that wheel, each in an empty folder, two at a time"
python tools/run_chapters.py --python build/wheel/test/bin/python --jobs 2

step "drlit bench from that wheel, outside the repository"
wheel=$PWD/build/wheel/run; out=$(mktemp -d); trap 'rm -rf "$out"' EXIT
(cd "$out" && "$wheel/bin/drlit" bench --profile quick --out quick && ls quick/report.html)

step "the book, warnings as errors"
bash tools/book.sh

step "a browser for the page tests"
bash tools/chromium.sh

seed=${DRLIT_TEST_SEED:-0} # DRLIT_TEST_SEED=N takes another order
step "pytest, in random order: --randomly-seed=$seed, without a network"
before=$(git status --porcelain)
python -m pytest -q "--randomly-seed=$seed"
[ "$(git status --porcelain)" = "$before" ] || { echo "the tests changed files:"; git status --short; exit 1; }
