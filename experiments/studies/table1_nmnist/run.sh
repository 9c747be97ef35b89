#!/usr/bin/env bash
# Every row of TMKT's Table 1 on real N-MNIST pairs (docs/results/tables.md): SCNN with 6 seeds, VGGSNN at a quarter of its width with 3,
# where a system has no network of its own.
# First an E2VID for the row Ev2Vid is trained on the training pairs (3 minutes). SCNN's 66 runs took an hour in all beside
# other programs, VGGSNN's about 4 minutes each; finished runs are skipped. DATA=./data  RUNS=runs/table1_nmnist  JOBS=1
source "$(dirname "$0")/../../env.sh"
install_project
RUNS="${RUNS:-runs/table1_nmnist}" DATA="${DATA:-./data}" WEIGHTS="${RUNS:-runs/table1_nmnist}/e2vid_nmnist.pt"
mkdir -p "$RUNS"
[ -f "$WEIGHTS" ] || python experiments/studies/ev2vid/train.py nmnist/ev2vid "$WEIGHTS" data.root="$DATA"

# rows TIER SEED..
rows() {
  local tier="$1"
  shift
  local common=(--tier "$tier" --seeds "$@" --threads 1 --jobs "${JOBS:-1}" --resume --runs "$RUNS/$tier" data.root="$DATA" data.static_pool=open)
  tmkt train nmnist/{baseline,nda,eventmix,tcja_tet,tks,etc,r2etl,knowledge_transfer,ckd,tmkt} "${common[@]}"
  tmkt train nmnist/ev2vid "${common[@]}" "data.reconstruction={weights: $WEIGHTS}"
  python -m braincog_tmkt.results.pack "$RUNS/$tier" --into "experiments/studies/table1_nmnist/$tier/records.jsonl"
  tmkt table 1 "experiments/studies/table1_nmnist/$tier" --dataset nmnist
}

rows small 42 1024 90210 1 2 3
rows vggsnn 42 1024 90210
