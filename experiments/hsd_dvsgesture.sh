#!/usr/bin/env bash
# HSD on DVS128 Gesture: the paper's Figure 1 (STS and DTS over T), and HSD and KD at every T.
#   DATA=./data       folder with the official recordings
#   STEPS="1 2 4 5"   SEEDS="42 1024 90210"   TIER=paper|small|smoke   JOBS=1 (runs at a time)
# Any key=value goes to the recipes.
source "$(dirname "$0")/env.sh"
set_name=dvsgesture
tet_steps=data.steps
source "$SCRIPTS/run_hsd.sh"
sweep_steps
