#!/usr/bin/env bash
# The page tests need Chromium and its driver: install them with apt if we may, else say what is missing.
set -euo pipefail
has() { command -v "$1" >/dev/null; }
if has chromium && has chromedriver; then exit 0; fi
if [ "$(id -u)" = 0 ]; then sudo=; elif has sudo && sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=none; fi
if ! has apt-get || [ "$sudo" = none ]; then
  echo "drlit: the page tests need Chromium. Install the packages chromium, chromium-driver and fonts-dejavu (Debian: apt-get install chromium chromium-driver fonts-dejavu)." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >/dev/null
$sudo apt-get install -y -q --no-install-recommends chromium chromium-driver fonts-dejavu >/dev/null
has chromium && has chromedriver || { echo "drlit: apt-get installed no Chromium; the packages are chromium and chromium-driver." >&2; exit 1; }
