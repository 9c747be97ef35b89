#!/usr/bin/env bash
# What is batch norm over time worth? TET, Knowledge-Transfer, TSM and TMKT with VGGSNN or ResNet-18, on real N-MNIST at a
# quarter of its width or, for 36 epochs, on the simulated N-Caltech101 of ../length at an eighth. A training with
# `step_own` is that of `step`, too, and is evaluated under both rules, every third epoch unless LENGTH says otherwise. CHECK=1 also trains seven networks
# of N-MNIST with `step` itself, whatever METHODS says; their numbers must be those of the evaluation. A run takes 1 to 6
# minutes of one core; finished runs are skipped.
# ON=nmnist, or ncaltech101   NETWORK=   empty for VGGSNN, or resnet18   METHODS="baseline knowledge_transfer tsm tmkt"
# NORMS=step_own, or shared, or "step_own shared"
# LENGTH="36 3", on N-Caltech101: epochs, and how many between two evaluations
# STUDY=experiments/studies/batch_norm, with _ncaltech101 and _resnet18 for these   where results go: give a folder of your
# own, or those that are here are replaced
# RUNS=runs/<name of STUDY>   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# DATA=./data (with nmnist/ and mnist_png/)   IMAGES=./data (with 101_ObjectCategories/)   TWIN=./data/length_twin
# Writes records.jsonl, rules.csv, shares.csv and streams.csv there, and pictures of its name in docs/figures; prints the
# tables of docs/results/batch-norm.md and two-streams.md. What is here:
# ../batch_norm: CHECK=1 NORMS="step_own shared", its runs with `shared` and seeds 1, 2 and 3 of a second machine; no
#   shares.csv, no streams.csv, and no statistics "estimated" in rules.csv
# ../batch_norm_rerun, ../batch_norm_resnet18_rerun (METHODS=baseline): the second machine; no streams.csv
# ../batch_norm_resnet18: NORMS="step_own shared", its runs with `shared` of a third machine; streams.csv and statistics
#   "estimated" of these only
# ../batch_norm_ncaltech101: NORMS=shared METHODS="baseline knowledge_transfer tsm mag mrp tmkt" (mrp with 3 seeds only),
#   then NORMS=step_own METHODS="knowledge_transfer tmkt"
# ../batch_norm_ncaltech101_resnet18: NORMS="step_own shared"
# ../batch_norm_ncaltech101_resnet18_100: LENGTH="100 5" METHODS="baseline tmkt" SEEDS=42; no streams.csv
source "$(dirname "$0")/../../env.sh"
install_project
HERE=experiments/studies/batch_norm ON="${ON:-nmnist}" NETWORK="${NETWORK:-}"
case "$ON" in
  nmnist) PLACE="$HERE" ;;
  ncaltech101) PLACE="${HERE}_ncaltech101" ;;
  *) echo "error: ON must be nmnist or ncaltech101, not $ON" >&2 && exit 1 ;;
esac
case "$NETWORK" in
  "" | resnet18) ;;
  *) echo "error: NETWORK must be empty or resnet18, not $NETWORK" >&2 && exit 1 ;;
esac
STUDY="${STUDY:-$PLACE${NETWORK:+_$NETWORK}}"
RUNS="${RUNS:-runs/$(basename "$STUDY")}"
read -ra seeds <<< "${SEEDS:-42 1024 90210 1 2 3}"

source "$HERE/nmnist.sh"
source experiments/studies/length/twin.sh

# train RECIPES SETTINGS..
train() {
  case "$ON" in
    nmnist) nmnist "$@" data.static_pool=open train.keep_every=3 ${NETWORK:+model.name=tmkt_$NETWORK} ;;
    ncaltech101) ncaltech101 ${LENGTH:-36 3} "$@" ${NETWORK:+model.name=tmkt_$NETWORK} ;;
  esac
}

if [ "$ON" = ncaltech101 ]; then
  make_twin
elif [ -n "${CHECK:-}" ]; then
  train "baseline knowledge_transfer tsm" --seeds 42 1024
  train tmkt --seeds 42
fi
for norm in ${NORMS:-step_own}; do
  train "${METHODS:-baseline knowledge_transfer tsm tmkt}" --seeds "${seeds[@]}" model.norm="$norm"
done
python "$HERE/rules.py" "$RUNS" "$RUNS"
mkdir -p "$STUDY"
for table in rules shares; do
  [ ! -e "$RUNS/$table.csv" ] || cp "$RUNS/$table.csv" "$STUDY" # TET alone has no shares
done
python "$HERE/streams.py" "$RUNS" > "$STUDY/streams.csv"
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$HERE/figure.py" "$STUDY"
