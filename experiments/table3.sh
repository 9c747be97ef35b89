#!/usr/bin/env bash
# Table 3 of the TMKT paper, the mixup ratio: N-Caltech101. Trains what is missing, then prints the paper's
# numbers and yours. A data set that is not there is left out, with a sentence that says what to get.
#   DATA=./data       folder with the official folders (STATIC=... if the images lie elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   ON=nmnist (its recipes in place of the paper's)   JOBS=1 (runs at a time)
# Options of `tmkt table` and any key=value may follow: bash experiments/table3.sh --format md train.precision=bf16-mixed
source "$(dirname "$0")/env.sh"
table=3
source "$SCRIPTS/run_table.sh"
