#!/usr/bin/env bash
# What is batch norm over time worth? TET, Knowledge-Transfer, TSM and TMKT on real N-MNIST with VGGSNN or ResNet-18 at a
# quarter of its width: trained once with `step_own`, which trains as `step`, and evaluated under both rules every third
# epoch. SHARED=1 also trains with `shared`. CHECK=1 also trains seven networks with `step` itself, whatever METHODS says;
# their numbers must be those of the evaluation.
# A run takes 1 to 6 minutes of one core; finished runs are skipped.
# NETWORK=   empty for VGGSNN, or resnet18     METHODS="baseline knowledge_transfer tsm tmkt"
# STUDY=experiments/studies/batch_norm, with _resnet18   where results go: give a folder of your own, or those here are replaced
# RUNS=runs/<name of STUDY>   DATA=./data (with nmnist/ and mnist_png/)   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, rules.csv and shares.csv there, and docs/figures/<name of STUDY>.png; prints the tables of
# docs/explanations/batch-norm.md. ../batch_norm was made with CHECK=1 and SHARED=1, its runs with `shared` and seeds 1, 2
# and 3 on a second machine, as ../batch_norm_rerun and, with NETWORK=resnet18 METHODS=baseline,
# ../batch_norm_resnet18_rerun. The files that are here lack what an earlier version estimated from recordings class by
# class, and ../batch_norm has no shares.csv.
source "$(dirname "$0")/../../env.sh"
install_project
NETWORK="${NETWORK:-}" HERE=experiments/studies/batch_norm
STUDY="${STUDY:-$HERE${NETWORK:+_$NETWORK}}"
RUNS="${RUNS:-runs/$(basename "$STUDY")}"
case "$NETWORK" in
  "" | resnet18) ;;
  *) echo "error: NETWORK must be empty or resnet18, not $NETWORK" >&2 && exit 1 ;;
esac
read -ra seeds <<< "${SEEDS:-42 1024 90210 1 2 3}"

# nmnist RECIPES SETTINGS..
nmnist() {
  local recipes
  read -ra recipes <<< "$1"
  shift
  tmkt train "${recipes[@]/#/nmnist/}" --tier vggsnn --threads 1 --jobs "${JOBS:-1}" --resume --runs "$RUNS" \
    data.root="${DATA:-./data}" data.static_pool=open data.train_per_class=20 data.val_portion=0.5 \
    train.epochs=60 train.eval_every=3 train.precision=bf16-mixed ${NETWORK:+model.name=tmkt_$NETWORK} "$@"
}

if [ -n "${CHECK:-}" ]; then
  nmnist "baseline knowledge_transfer tsm" --seeds 42 1024
  nmnist tmkt --seeds 42
fi
ALL="${METHODS:-baseline knowledge_transfer tsm tmkt}"
nmnist "$ALL" --seeds "${seeds[@]}" model.norm=step_own train.keep_every=3
[ -z "${SHARED:-}" ] || nmnist "$ALL" --seeds "${seeds[@]}" model.norm=shared
python "$HERE/rules.py" "$RUNS" "$RUNS"
mkdir -p "$STUDY"
for table in rules shares; do
  [ ! -e "$RUNS/$table.csv" ] || cp "$RUNS/$table.csv" "$STUDY" # TET alone has no shares
done
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$HERE/figure.py" "$STUDY"
