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
source experiments/studies/length/twin.sh
read -ra COMMON <<< "--threads 1 --jobs ${JOBS:-1} --resume --runs $RUNS train.precision=bf16-mixed model.norm=step_own \
  train.eval_every=3 train.keep_every=3"

# nmnist SEEDS RECIPES..
nmnist() {
  local seeds
  read -ra seeds <<< "$1"
  shift
  tmkt train "${@/#/nmnist/}" --tier vggsnn --seeds "${seeds[@]}" "${COMMON[@]}" data.root="${DATA:-./data}" \
    data.static_pool=open data.train_per_class=20 data.val_portion=0.5 train.epochs=60
}

# ncaltech101 RECIPES SETTINGS..
ncaltech101() {
  local recipes
  read -ra recipes <<< "$1"
  shift
  tmkt train "${recipes[@]/#/ncaltech101/}" --tier small --seeds 42 1024 90210 "${COMMON[@]}" data.root="$TWIN" \
    train.epochs=36 "$@"
}

nmnist "42 1024 90210" tsm_cubic tsm_event1 tsm_cubic_event1
nmnist "1 2 3" tsm_cubic
make_twin
link_images "$TWIN/further" 140
ncaltech101 "baseline knowledge_transfer tsm_cubic tsm_cubic_event1"
ncaltech101 tsm_cubic data.static_root="$TWIN/further" data.static_pool=open
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$STUDY/choose.py"
