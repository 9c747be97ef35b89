#!/usr/bin/env bash
# Is there a setting of TMKT that beats Knowledge-Transfer and TET? Candidates beside those of ../tables_nmnist_vggsnn, on
# the same recordings and settings (real N-MNIST, VGGSNN at a quarter of its width, norm `step_own`), three seeds each;
# `choose.py` takes the one of the highest validation accuracy, which gets three more seeds.
# Then that setting on the simulated N-Caltech101 of ../length for 36 epochs, with the images of the training recordings,
# with up to 100 further images of each class, and with the event loss at full weight. A run takes 4 to 14 minutes of one
# core that has no bfloat16; finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   IMAGES=./data (with 101_ObjectCategories/)   TWIN=./data/length_twin
# RUNS=runs/search   JOBS=1
# Writes records.jsonl; prints the tables of docs/results/search.md.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/search RUNS="${RUNS:-runs/search}"
source experiments/studies/batch_norm/nmnist.sh
source experiments/studies/length/twin.sh

OWN=(data.static_pool=open model.norm=step_own train.keep_every=3)
nmnist "tsm_cubic tsm_event1 tsm_cubic_event1" "${OWN[@]}" --seeds 42 1024 90210
nmnist tsm_cubic "${OWN[@]}" --seeds 1 2 3
make_twin
link_images "$TWIN/further" 140
FEW=(--seeds 42 1024 90210 model.norm=step_own)
ncaltech101 36 3 "baseline knowledge_transfer tsm_cubic tsm_cubic_event1" "${FEW[@]}"
ncaltech101 36 3 tsm_cubic "${FEW[@]}" data.static_root="$TWIN/further" data.static_pool=open
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$STUDY/choose.py"
