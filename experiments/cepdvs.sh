#!/usr/bin/env bash
# CEP-DVS: checks, prepares and trains baseline, Knowledge-Transfer, TSM and TMKT; prints their table. RECIPES="tsm mag
# mrp tmkt" is Table 2.
#   DATA=./data       folder with CEP-DVS/ (STATIC=... if data/img lies elsewhere); without the data, a twin:
#                     tmkt data simulate cepdvs --static ./images --out ./twin, then DATA=./twin
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   RECIPES="tmkt"
# Any key=value goes to the recipes: bash experiments/cepdvs.sh data.protocol=published_cepdvs
source "$(dirname "$0")/env.sh"
set_name=cepdvs
source "$SCRIPTS/run_set.sh"
