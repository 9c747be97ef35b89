#!/usr/bin/env bash
# Does TMKT overtake in a long training? TET, Knowledge-Transfer, TSM and TMKT for 200 epochs on recordings simulated from
# 800 Caltech-101 images of 20 classes (VGGSNN at 1/8 width, T 4, 48x48): trained once with `step_own`, which trains
# as `step`, and evaluated under both rules every tenth epoch. TET takes 9 minutes of one core, the others 16;
# finished runs are skipped.
# IMAGES=./data   folder with 101_ObjectCategories/     TWIN=./data/length_twin   where images and recordings go
# RUNS=runs/length   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, rules.csv, shares.csv and the pictures of docs/results/ncaltech101.md; prints its tables.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/length RUNS="${RUNS:-runs/length}"
source "$STUDY/twin.sh"

make_twin
ncaltech101 200 10 "baseline knowledge_transfer tsm tmkt" --seeds ${SEEDS:-42 1024 90210 1 2 3} model.norm=step_own
python experiments/studies/batch_norm/rules.py "$RUNS" "$RUNS"
cp "$RUNS"/{rules,shares}.csv "$STUDY"
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python experiments/studies/batch_norm/figure.py "$STUDY" docs/figures/batch_norm_length.png
python "$STUDY/figure.py"
