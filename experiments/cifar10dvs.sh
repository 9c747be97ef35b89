#!/usr/bin/env bash
# CIFAR10-DVS: checks, prepares and trains TET on its three kinds of frames; prints their table.
#   DATA=./data       folder with CIFAR10DVS/; without the data, a twin:
#                     tmkt data simulate cifar10dvs --static ./images --out ./twin, then DATA=./twin
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="baseline_number"
# Any key=value goes to the recipes: bash experiments/cifar10dvs.sh data.protocol=published data.train_portion=0.7
source "$(dirname "$0")/env.sh"
set_name=cifar10dvs
RECIPES="${RECIPES:-baseline_time baseline_number baseline_presence}"
source "$SCRIPTS/run_set.sh"
