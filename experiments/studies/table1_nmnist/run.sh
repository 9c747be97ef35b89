#!/usr/bin/env bash
# Every row of TMKT's Table 1 on real N-MNIST pairs (docs/results/tables.md): SCNN with 6 seeds, VGGSNN at a quarter of its
# width with 3 (TET and Knowledge-Transfer 4), where a system has no network of its own.
# First an E2VID for the row Ev2Vid is trained on the training pairs (3 minutes). SCNN's 66 runs took an hour in all beside
# other programs, VGGSNN's about 4 minutes each; finished runs are skipped. DATA=./data  RUNS=runs/table1_nmnist  JOBS=1
source "$(dirname "$0")/../../env.sh"
install_project
RUNS="${RUNS:-runs/table1_nmnist}" DATA="${DATA:-./data}" WEIGHTS="${RUNS:-runs/table1_nmnist}/e2vid_nmnist.pt"
mkdir -p "$RUNS"
[ -f "$WEIGHTS" ] || python experiments/studies/ev2vid/train.py nmnist/ev2vid "$WEIGHTS" data.root="$DATA"

# nmnist TIER SEEDS RECIPES [SETTINGS..]
nmnist() {
  local tier="$1" seeds recipes
  read -ra seeds <<< "$2"
  read -ra recipes <<< "$3"
  shift 3
  tmkt train "${recipes[@]/#/nmnist/}" --tier "$tier" --seeds "${seeds[@]}" --threads 1 --jobs "${JOBS:-1}" --resume \
    --runs "$RUNS/$tier" data.root="$DATA" data.static_pool=open "$@"
}

# rows TIER SEEDS
rows() {
  nmnist "$1" "$2" "baseline nda eventmix tcja_tet tks etc r2etl knowledge_transfer ckd tmkt"
  nmnist "$1" "$2" ev2vid "data.reconstruction={weights: $WEIGHTS}"
}

rows small "42 1024 90210 1 2 3"
rows vggsnn "42 1024 90210"
nmnist vggsnn 1 "baseline knowledge_transfer"
for tier in small vggsnn; do
  python -m braincog_tmkt.results.pack "$RUNS/$tier" --into "experiments/studies/table1_nmnist/$tier/records.jsonl"
  tmkt table 1 "experiments/studies/table1_nmnist/$tier" --dataset nmnist
done
