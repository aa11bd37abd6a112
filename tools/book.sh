#!/usr/bin/env bash
# Render nbs/ to build/book/_build/html; a warning is an error. Nothing is executed: the outputs are those stored in the notebooks.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
bash tools/vendor.sh
[ -z "$(find nbs/_ext nbs/_static nbs/_config.yml pyproject.toml -newer build/book/_build 2>/dev/null)" ] || rm -rf build/book  # Sphinx misses these
jupyter-book build nbs --path-output build/book -W --keep-going -q || { rm -rf build/book/_build/.doctrees; exit 1; }  # else the next build would forget the warnings
touch build/book/_build
