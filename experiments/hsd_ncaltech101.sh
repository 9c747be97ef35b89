#!/usr/bin/env bash
# HSD on N-Caltech101: the paper's Figure 1 (STS and DTS over T) and Figure 3 (temperature and lambda), and HSD on top of TMKT at
# T 1 to 5, as an ANN and as a spiking teacher.
#   DATA=./data       folder with the official folders (STATIC=... if the images lie elsewhere)
#   STEPS="1 2 4 5"   TEMPERATURES="1 2 5 10 20"   WEIGHTS="0.5 1 5 10 20"   (the paper does not say which it tried)
#   SEEDS="42 1024 90210"   TIER=paper|small|smoke   JOBS=1 (runs at a time)
# Any key=value goes to the recipes.
source "$(dirname "$0")/env.sh"
set_name=ncaltech101
tet_steps=data.steps
source experiments/run_hsd.sh
sweep_steps
for value in ${TEMPERATURES:-1 2 5 10 20}; do
  train ncaltech101/hsd --runs runs/hsd_temperature "method.temperature=$value"
done
for value in ${WEIGHTS:-0.5 1 5 10 20}; do
  train ncaltech101/hsd --runs runs/hsd_weight "method.weight=$value"
done
for sweep in temperature weight; do
  tmkt figure epochs "runs/hsd_$sweep" --out "figures/hsd_ncaltech101_$sweep"
done
for steps in 1 2 3 4 5; do
  train ncaltech101/hsd_tmkt ncaltech101/tmkt_distilled --runs runs/hsd_tmkt "method.steps=$steps"
done
tmkt figure timesteps runs/hsd_tmkt --out figures/hsd_tmkt
