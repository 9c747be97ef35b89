#!/usr/bin/env bash
# Both ends of what requirements.txt admits, with Python 3.11: `pinned` is what BrainCog's repository pins, and the newest
# of all else; `oldest` is the lower end of every requirement. For each: makes an environment, trains a recipe, runs the
# tests of the networks and of the plugin, and removes it (6 GB and about 20 minutes each). Names of ends may be given.
source "$(dirname "$0")/../experiments/env.sh"

constraints() {
  case "$1" in
    pinned) echo "timm==0.6.13" ;;
    oldest) sed -n 's/>=/==/p' requirements.txt ;;
    *) echo "error: there is no end '$1': pinned, oldest" >&2; return 1 ;;
  esac
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for end in ${*:-pinned oldest}; do
  folder="$work/$end"
  mkdir "$folder"
  constraints "$end" > "$folder/constraints.txt"
  python3.11 -m venv "$folder/env"
  python="$folder/env/bin/python"
  "$python" -m pip install --quiet --constraint "$folder/constraints.txt" --editable . pytest hypothesis "setuptools>=70.1"
  "$folder/env/bin/tmkt" doctor
  "$folder/env/bin/tmkt" train digits/tmkt --tier smoke --runs "$folder/runs" data.cache="$folder/cache"
  "$folder/env/bin/tmkt" table "$folder/runs"
  "$folder/env/bin/tmkt" report "$folder/runs" --out "$folder/report.html"
  "$folder/env/bin/tmkt" figure activity "$folder"/runs/digits/tmkt/*/seed* --out "$folder/figures" data.cache="$folder/cache"
  "$python" -m pytest -q -m "not slow and not gpu" tests/models tests/test_bridge.py tests/test_environment.py \
    tests/engine/test_step.py $([ ! -d tests/plugin ] || echo tests/plugin)
  rm -rf "$folder"
done
