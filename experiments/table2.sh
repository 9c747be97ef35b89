#!/usr/bin/env bash
# Table 2 of the TMKT paper, the parts of TMKT one by one: N-Caltech101, CEP-DVS. Trains what is missing, then prints the paper's
# numbers and yours. A data set that is not there is left out, with a sentence that says what to get.
#   DATA=./data       folder with the official folders (STATIC=... if the images lie elsewhere)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   ON=nmnist (its recipes in place of the paper's)   JOBS=1 (runs at a time)
# Options of `tmkt table` and any key=value may follow: bash experiments/table2.sh --format md train.precision=bf16-mixed
source "$(dirname "$0")/env.sh"
table=2
source "$SCRIPTS/run_table.sh"
