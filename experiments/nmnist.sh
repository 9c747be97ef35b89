#!/usr/bin/env bash
# N-MNIST with MNIST: checks, prepares and trains baseline, Knowledge-Transfer, TSM and TMKT; prints their table.
#   DATA=./data       folder with NMNIST/ (or nmnist/) and MNIST/ or mnist_png/ (STATIC=... if they lie elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="tmkt"
# Any key=value goes to the recipes: bash experiments/nmnist.sh data.train_per_class=30
source "$(dirname "$0")/env.sh"
set_name=nmnist
source "$SCRIPTS/run_set.sh"
