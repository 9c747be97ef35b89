#!/usr/bin/env bash
# What is a leak worth? Baseline, Knowledge-Transfer and TMKT under protocols whose static images do and do not show the
# test recordings: real N-MNIST, and simulated N-Caltech101 (the classes of 80 to 130 images), small networks. About an
# hour and a half on 2 CPU cores; finished runs are skipped. Writes the table and the picture of docs/explanations/leakage.md.
#   NMNIST=./data   folder with nmnist/ and mnist_png/         IMAGES=./data   folder with 101_ObjectCategories/
#   TWIN=./data/leakage_twin   where the twin goes             RUNS=runs/leakage
#   SEEDS="42 1024 90210", on N-Caltech101 "42 1024"
source "$(dirname "$0")/../../env.sh"
install_project
RUNS="${RUNS:-runs/leakage}" IMAGES="${IMAGES:-./data}" TWIN="${TWIN:-./data/leakage_twin}"
CLASSES="bonsai brain buddha butterfly car_side chandelier ewer grand_piano hawksbill helicopter ibis \
  kangaroo ketch laptop menorah revolver scorpion starfish sunflower trilobite"

# The images of the chosen classes as a tree of their own, and its simulated recordings.
mkdir -p "$TWIN/101_ObjectCategories"
for class in $CLASSES; do ln -sfn "$(realpath "$IMAGES")/101_ObjectCategories/$class" "$TWIN/101_ObjectCategories/$class"; done
tmkt data simulate ncaltech101 --static "$TWIN" --out "$TWIN"

# study SET PROTOCOL RECIPES OVERRIDES..
study() {
  local protocol="$2" recipes
  read -ra recipes <<< "${3//@/$1/}"
  shift 3
  tmkt train "${recipes[@]}" --seeds "$SEED" --threads 1 --resume --runs "$RUNS" \
    data.protocol="$protocol" data.val_portion=0 data.steps=4 imports='[experiments.studies.leakage.control]' "$@"
}

nmnist() {
  study nmnist "$1" "$2" data.root="${NMNIST:-./data}" data.train_per_class=null data.train_portion=0.5 \
    train.epochs=40 train.eval_every=40
}

ncaltech101() {
  study ncaltech101 "$1" "$2" data.root="$TWIN" data.train_portion=0.8 data.size=28 \
    model.name=tmkt_scnn model.act_fun=BackEIGateGrad train.epochs=40 train.batch=32 train.eval_every=40 \
    optim.lr=2e-3 optim.lr_scale_base=null optim.warmup_epochs=1
}

declare -A FEW=([nmnist]="42 1024 90210" [ncaltech101]="42 1024")
for set in ${SETS:-nmnist ncaltech101}; do
  for SEED in ${SEEDS:-${FEW[$set]}}; do
    for protocol in clean published published_unsorted; do
      $set "$protocol" "@baseline @knowledge_transfer @tmkt"
    done
    $set unsorted_control "@knowledge_transfer @tmkt"  # the baseline draws no image: nothing to control
  done
done
STUDY=experiments/studies/leakage
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$STUDY/figure.py"
