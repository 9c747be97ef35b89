#!/usr/bin/env bash
# What is batch norm over time worth? TET, Knowledge-Transfer, TSM and TMKT on real N-MNIST with VGGSNN at a quarter of its
# width: trained once with `step_own`, which trains as `step`, and evaluated under both rules every third epoch; and with
# `shared`, the methods with images on the first three seeds. CHECK=1 also trains seven networks with `step` itself, whose
# numbers must be those of the evaluation.
# A run takes 2 to 3 minutes of one core; finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   RUNS=runs/batch_norm   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, rules.csv, shares.csv and the picture of docs/explanations/batch-norm.md.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/batch_norm RUNS="${RUNS:-runs/batch_norm}"
read -ra seeds <<< "${SEEDS:-42 1024 90210 1 2 3}"

# nmnist RECIPES SETTINGS..
nmnist() {
  local recipes
  read -ra recipes <<< "$1"
  shift
  tmkt train "${recipes[@]/#/nmnist/}" --tier vggsnn --threads 1 --jobs "${JOBS:-1}" --resume --runs "$RUNS" \
    data.root="${DATA:-./data}" data.static_pool=open data.train_per_class=20 data.val_portion=0.5 \
    train.epochs=60 train.eval_every=3 train.precision=bf16-mixed "$@"
}

if [ -n "${CHECK:-}" ]; then
  nmnist "baseline knowledge_transfer tsm" --seeds 42 1024
  nmnist tmkt --seeds 42
fi
nmnist "baseline knowledge_transfer tsm tmkt" --seeds "${seeds[@]}" model.norm=step_own train.keep_every=3
nmnist baseline --seeds "${seeds[@]}" model.norm=shared
nmnist "knowledge_transfer tsm tmkt" --seeds "${seeds[@]:0:3}" model.norm=shared
python "$STUDY/rules.py" "$RUNS" "$RUNS"
cp "$RUNS"/{rules,shares}.csv "$STUDY"
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$STUDY/figure.py"
