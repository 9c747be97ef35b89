#!/usr/bin/env bash
# HSD on N-Caltech101: the paper's Figure 1 (STS and DTS over T) and Figure 3 (temperature and lambda), and HSD on top of TMKT,
# with an ANN and with a spiking teacher, at every T.
#   DATA=./data       folder with the official folders (STATIC=... if the images lie elsewhere)
#   STEPS="1 2 4 5" (the T)   TEMPERATURES="1 2 5 10 20"   WEIGHTS="0.5 1 5 10 20"   (the paper does not say which it tried)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   JOBS=1 (runs at a time)
# Any key=value goes to the recipes.
source "$(dirname "$0")/env.sh"
set_name=ncaltech101
tet_steps=data.steps
source "$SCRIPTS/run_hsd.sh"
sweep_steps
for value in ${TEMPERATURES:-1 2 5 10 20}; do
  train temperature ncaltech101/hsd "method.temperature=$value"
done
for value in ${WEIGHTS:-0.5 1 5 10 20}; do
  train weight ncaltech101/hsd "method.weight=$value"
done
for sweep in temperature weight; do
  tmkt figure epochs "$RUNS/$sweep/ncaltech101" --out "$PICTURES/$sweep"
done
for steps in $STEPS; do
  train tmkt ncaltech101/hsd_tmkt ncaltech101/tmkt_distilled "method.steps=$steps"
done
tmkt figure timesteps "$RUNS/tmkt/ncaltech101" --out "$PICTURES/tmkt"
