#!/usr/bin/env bash
# What is batch norm over time worth? TET, Knowledge-Transfer, TSM and TMKT on real N-MNIST with VGGSNN or ResNet-18 at a
# quarter of its width: trained once with `step_own`, which trains as `step`, and evaluated under both rules every third
# epoch. SHARED=1 also trains with `shared`. CHECK=1 also trains seven networks with `step` itself, whatever METHODS says;
# their numbers must be those of the evaluation.
# A run takes 1 to 6 minutes of one core; finished runs are skipped.
# NETWORK=   empty for VGGSNN, or resnet18     METHODS="baseline knowledge_transfer tsm tmkt"
# STUDY=experiments/studies/batch_norm (batch_norm_resnet18 with that network)   where results go: give a folder of your
# own, or those that are here are replaced
# RUNS=runs/<name of STUDY>   DATA=./data (with nmnist/ and mnist_png/)   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, rules.csv and shares.csv there, and docs/figures/<name of STUDY>.png; prints the tables of
# docs/explanations/batch-norm.md. ../batch_norm was made with CHECK=1 and SHARED=1, its runs with `shared` and seeds 1, 2
# and 3 on a second machine, as ../batch_norm_rerun and, with NETWORK=resnet18 METHODS=baseline,
# ../batch_norm_resnet18_rerun. ../batch_norm and ../batch_norm_resnet18 have no statistics "estimated" in rules.csv, and
# the first no shares.csv.
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

COMMON=(data.static_pool=open ${NETWORK:+model.name=tmkt_$NETWORK})
source "$HERE/nmnist.sh"

if [ -n "${CHECK:-}" ]; then
  nmnist "baseline knowledge_transfer tsm" "${COMMON[@]}" --seeds 42 1024
  nmnist tmkt "${COMMON[@]}" --seeds 42
fi
ALL="${METHODS:-baseline knowledge_transfer tsm tmkt}"
nmnist "$ALL" --seeds "${seeds[@]}" "${COMMON[@]}" model.norm=step_own train.keep_every=3
[ -z "${SHARED:-}" ] || nmnist "$ALL" --seeds "${seeds[@]}" "${COMMON[@]}" model.norm=shared
python "$HERE/rules.py" "$RUNS" "$RUNS"
mkdir -p "$STUDY"
for table in rules shares; do
  [ ! -e "$RUNS/$table.csv" ] || cp "$RUNS/$table.csv" "$STUDY" # TET alone has no shares
done
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$HERE/figure.py" "$STUDY"
