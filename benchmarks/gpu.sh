#!/usr/bin/env bash
# Everything that needs a GPU, in one command and LIMIT seconds (480) after set-up and simulation: the tests marked gpu;
# training steps of VGGSNN and ResNet-18 at batch 120 (step mode, multi-step in fp32 and bf16, bare convolutions) with
# their peaks of memory; and epochs of the full N-Caltech101 recipes in bf16 until the time is up. Every part writes
# what it has as it goes.
#   DATA=/path/to/data bash benchmarks/gpu.sh         # folder with NCALTECH101/ and caltech101/
#   STATIC=/path/to/images bash benchmarks/gpu.sh     # folder with caltech101/: recordings are simulated into ./data/twin
#   SETUP=0 bash benchmarks/gpu.sh                    # with the Python of the PATH, nothing is installed
# Results: OUT (benchmarks/results/gpu): gpu.log, execution.{md,csv,png}, and the runs in runs/; the same command goes on with them.
source "$(dirname "$0")/../experiments/env.sh"
if [ "${SETUP:-1}" = 0 ]; then export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"; else install_project "[dev,bench]"; fi
OUT="${OUT:-benchmarks/results/gpu}"
mkdir -p "$OUT"
if [ -z "${DATA:-}" ]; then  # goes on where a simulation was stopped
  DATA=./data/twin
  python -m braincog_tmkt.cli data simulate ncaltech101 --static "${STATIC:?set DATA to a folder of recordings, or STATIC to one of images}" --out "$DATA"
fi
STATIC="${STATIC:-$DATA}" END=$((SECONDS + ${LIMIT:-480}))

# part SECONDS COMMAND..: at most so long, and no longer than to the end; a part that fails or is stopped ends no other.
part() {
  local left=$((END - SECONDS)) most="$1"
  shift
  echo "== ${*}"
  [ "$left" -gt 5 ] || { echo "== left out: the time is up"; return; }
  timeout --signal=INT --kill-after=20 "$((left < most ? left : most))" "$@" || echo "== ended with status $?"
}

{
  part 30 python -m braincog_tmkt.cli doctor
  part 120 python -m pytest -q -m gpu
  part 180 python benchmarks/execution.py --large --repeats 5 --out "$OUT"
  for recipe in tmkt knowledge_transfer baseline; do
    part 100000 python -m braincog_tmkt.cli train "ncaltech101/$recipe" --seeds 42 --resume --runs "$OUT/runs" \
      train.precision=bf16-mixed data.root="$DATA" data.static_root="$STATIC"
  done
} 2>&1 | tee -a "$OUT/gpu.log"
