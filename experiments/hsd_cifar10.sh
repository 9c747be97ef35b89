#!/usr/bin/env bash
# HSD on CIFAR-10: all eight rows of the paper's Table 1 with its numbers beside yours, and TET, HSD and KD at every T.
#   DATA=./data       folder with cifar-10-batches-py/ (tmkt data download cifar10 --root ./data)
#   STEPS="1 2 4 5" SEEDS="42 1024 90210"   TIER=paper|small|smoke   JOBS=1 (runs at a time)
# Any key=value goes to the recipes.
source "$(dirname "$0")/env.sh"
set_name=cifar10
tet_steps=method.steps
source "$SCRIPTS/run_hsd.sh"
table hsd1
sweep_steps
