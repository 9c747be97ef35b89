#!/usr/bin/env bash
# A data set that tonic knows: checks it, prepares it, trains the event stream alone, and prints the table.
#   DATA=./data       where tonic puts it, in DATA/<set>/    (STATIC=... class folders of images, for RECIPES="baseline tmkt")
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke
# The name of tonic's class comes first: bash experiments/tonic.sh data.set=ASLDVS
source "$(dirname "$0")/env.sh"
set_name=tonic
RECIPES="${RECIPES:-baseline}"
source "$SCRIPTS/run_set.sh"
