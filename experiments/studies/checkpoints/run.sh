#!/usr/bin/env bash
# Trains the networks in checkpoints/ and exports them there: seed 42, fp32, the last epoch; about ten minutes on one CPU
# core, finished runs are skipped. N-MNIST needs MNIST's images, too. DATA=./data  RUNS=runs/checkpoints  OUT=checkpoints
source "$(dirname "$0")/../../env.sh"
install_project
RUNS="${RUNS:-runs/checkpoints}" ROOT="data.root=${DATA:-./data}"
VGGSNN="model.name=tmkt_vggsnn model.act_fun=QGateGrad model.width=0.125 model.norm=step_own data.size=32"

# export_run RECIPE KEY=VALUE..: the first one of a network is what timm takes if no tag is named
export_run() {
  local record
  record="$(tmkt train "$@" --seeds 42 --threads 1 --resume --runs "$RUNS" "$ROOT" | tee /dev/stderr | sed -n 's/^record: //p')"
  tmkt export "$record" "${OUT:-checkpoints}" "$ROOT"
}

export_run nmnist/tmkt data.static_pool=open $VGGSNN
export_run nmnist/tmkt data.static_pool=open
for recipe in knowledge_transfer baseline; do export_run "nmnist/$recipe" data.static_pool=open $VGGSNN; done
export_run nmnist/hsd
for recipe in tmkt baseline hsd; do export_run "digits/$recipe"; done
python -m braincog_tmkt.results.pack "$RUNS" --into experiments/studies/checkpoints/records.jsonl
