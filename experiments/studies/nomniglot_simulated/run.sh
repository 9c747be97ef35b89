#!/usr/bin/env bash
# One block of TMKT's Table 1 at its full settings, on simulated recordings: all 1,623 characters of Omniglot through our
# event camera simulator, SCNN, T 12, 50 epochs. Simulating takes 8 minutes and 11 GB, frames 10 minutes and 2.5 GB, a run
# up to two hours of one core beside other programs; the same command goes on where it was stopped.
#   OMNIGLOT=./data   folder with images_background/ and images_evaluation/   TWIN=./data/nomniglot_twin   where recordings go
#   RUNS=runs/nomniglot_simulated   SEEDS=42
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/nomniglot_simulated RUNS="${RUNS:-runs/nomniglot_simulated}" TWIN="${TWIN:-./data/nomniglot_twin}"
OMNIGLOT="${OMNIGLOT:-./data}"
read -ra seeds <<< "${SEEDS:-42}"
tmkt data simulate nomniglot --static "$OMNIGLOT" --out "$TWIN"
tmkt train nomniglot/{baseline,tmkt,knowledge_transfer} --seeds "${seeds[@]}" --threads 1 --resume --runs "$RUNS" \
  data.root="$TWIN" data.static_root="$OMNIGLOT"
tmkt train nomniglot/tmkt --seeds "${seeds[@]}" --threads 1 --resume --runs "$RUNS" data.root="$TWIN" \
  data.static_root="$OMNIGLOT" train.epochs=10 method.loss=ce_mean  # is it the loss?
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
tmkt table 1 "$STUDY" --dataset nomniglot train.epochs=50
