#!/usr/bin/env bash
# N-Omniglot with Omniglot: checks, prepares and trains baseline, Knowledge-Transfer, TSM and TMKT; prints their table.
#   DATA=./data       folder with dvs_background/ and dvs_evaluation/ (STATIC=... if the images lie elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="tmkt"
# Any key=value goes to the recipes: bash experiments/nomniglot.sh data.antialias=true
# Without the data, on simulated ones of a few alphabets, about ten minutes on a CPU:
#   tmkt data simulate nomniglot --static OMNIGLOT --out TWIN
#   DATA=TWIN STATIC=OMNIGLOT TIER=small bash experiments/nomniglot.sh
source "$(dirname "$0")/env.sh"
set_name=nomniglot
source "$SCRIPTS/run_set.sh"
