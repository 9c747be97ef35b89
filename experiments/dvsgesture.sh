#!/usr/bin/env bash
# DVS128 Gesture: checks, prepares and trains the baseline on the official split; prints its table. There are no images.
#   DATA=./data       folder with DvsGesture/ (official) or DVSGesture/ (tonic's, by `tmkt data download dvsgesture`)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke
# Any key=value goes to the recipe: bash experiments/dvsgesture.sh train.batch=60
source "$(dirname "$0")/env.sh"
set_name=dvsgesture
RECIPES="${RECIPES:-baseline}"
source "$SCRIPTS/run_set.sh"
