#!/usr/bin/env bash
# Your own recordings and images: checks, prepares and trains baseline, Knowledge-Transfer, TSM and TMKT; prints their table.
#   DATA=./data       folder with events/<class>/ and static/<class>/ (STATIC=... if static/ lies elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="tmkt"
# Any key=value goes to the recipes: bash experiments/folder.sh data.protocol=unpaired
source "$(dirname "$0")/env.sh"
set_name=folder
source "$SCRIPTS/run_set.sh"
