#!/usr/bin/env bash
# Makes or reuses .venv, installs, runs the tests; arguments go to pytest, e.g.: bash tests/run.sh -m slow
# Two workers of one thread each; tests that are named by their file run in one process, whatever their marks.
source "$(dirname "$0")/../experiments/env.sh"
install_project "[dev]"
export OMP_NUM_THREADS=1
case " $* " in
  *.py*) ;;
  *" -m "*) set -- -n 2 --dist loadfile --no-loadscope-reorder "$@" ;;
  *) set -- -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu" "$@" ;;
esac
python -m pytest -q "$@"
