#!/usr/bin/env bash
# Makes or reuses .venv, installs, runs the tests; arguments go to pytest, e.g.: bash tests/run.sh -m slow
source "$(dirname "$0")/../experiments/env.sh"
install_project "[dev]"
export OMP_NUM_THREADS=1
if [ $# -eq 0 ]; then set -- -m "not slow and not gpu"; fi
python -m pytest -q "$@"
