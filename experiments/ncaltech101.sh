#!/usr/bin/env bash
# N-Caltech101 with Caltech-101: checks, prepares and trains baseline, Knowledge-Transfer and TMKT; prints their table.
#   DATA=./data       folder with NCALTECH101/ and caltech101/ (STATIC=... if the images lie elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="tmkt"
# Any key=value goes to the recipes: bash experiments/ncaltech101.sh train.batch=60
source "$(dirname "$0")/env.sh"
set_name=ncaltech101
source "$SCRIPTS/run_set.sh"
