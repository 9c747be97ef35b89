#!/usr/bin/env bash
# Everything about speed that needs a GPU, in one command: the tests marked gpu, the executions at batch 120, and what the
# full N-Caltech101 recipe takes (300 epochs), in fp32 and in bf16, from a few of its own steps.
#   DATA=/path/to/data bash benchmarks/gpu.sh         # folder with NCALTECH101/ and caltech101/
#   STATIC=/path/to/images bash benchmarks/gpu.sh     # folder with caltech101/: recordings are simulated into ./data/twin
# Results: benchmarks/results/execution.{md,csv,png} and benchmarks/results/gpu.log
source "$(dirname "$0")/../experiments/env.sh"
install_project "[dev,bench]"
DATA="${DATA:-./data/twin}"
STATIC="${STATIC:-$DATA}"
{
  tmkt doctor
  python -m pytest -q -m gpu
  python benchmarks/execution.py
  [ -d "$DATA" ] || tmkt data simulate ncaltech101 --static "$STATIC" --out "$DATA"
  for precision in 32-true bf16-mixed; do
    tmkt train ncaltech101/tmkt --dry-run --seeds 42 train.precision="$precision" \
      data.root="$DATA" data.static_root="$STATIC"
  done
} 2>&1 | tee benchmarks/results/gpu.log
