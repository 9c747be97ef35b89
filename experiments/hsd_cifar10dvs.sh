#!/usr/bin/env bash
# HSD on CIFAR10-DVS: all nine rows of the paper's Table 2, Figure 1 (STS and DTS over T), Figure 2 (KD against SKD by epoch) and Figure 4 (confusion
# matrices of TET and HSD at T 5), with its numbers beside yours.
#   DATA=./data       folder with CIFAR10DVS/; without the data, a twin:
#                     tmkt data simulate cifar10dvs --static ./images --out ./twin, then DATA=./twin
#   STEPS="1 2 4 5"   the T of Figure 1      SEEDS="42 1024 90210"   TIER=paper|small|smoke   JOBS=1 (runs at a time)
# Any key=value goes to the recipes.
source "$(dirname "$0")/env.sh"
set_name=cifar10dvs
tet_steps=data.steps
source "$SCRIPTS/run_hsd.sh"
table hsd2
table hsd-figure1
train table cifar10dvs/kd
tmkt figure epochs "$RUNS/table/cifar10dvs/hsd" "$RUNS/table/cifar10dvs/kd" --out "$PICTURES"
# newest RECIPE SEED: the run folder of the newest record; a * in SEED is any
newest() { dirname "$(ls -t "$RUNS/table/cifar10dvs/$1"/*/$2/record.json | head -n 1)"; }
hsd="$(newest hsd "seed*")"
tmkt figure confusion "$(newest tet_t5 "$(basename "$hsd")")" "$hsd" --out "$PICTURES" "${settings[@]:0:2}"
sweep_steps
