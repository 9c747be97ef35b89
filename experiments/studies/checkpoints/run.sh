#!/usr/bin/env bash
# Trains the networks in checkpoints/, exports them there and writes records.jsonl. Seed 42, fp32, the last epoch; about 20
# minutes on 2 CPU cores, finished runs are skipped. The recipes of N-MNIST need its 500 recordings and the images of MNIST.
# DATA=./data  RUNS=runs/checkpoints  OUT=checkpoints
source "$(dirname "$0")/../../env.sh"
install_project
RUNS="${RUNS:-runs/checkpoints}" OUT="${OUT:-checkpoints}"
VGGSNN="model.name=tmkt_vggsnn model.act_fun=QGateGrad model.width=0.125 model.norm=step_own data.size=32"

# make RECIPE KEY=VALUE..: trains it with seed 42 and exports the run as NETWORK.RECIPE; the first of a network is its default
make() {
  tmkt train "$1" --seeds 42 --threads 1 --resume --runs "$RUNS" data.root="${DATA:-./data}" "${@:2}"
  local place
  place="$(tmkt train "$1" --seeds 42 --threads 1 --dry-run --runs "$RUNS" data.root="${DATA:-./data}" "${@:2}")"
  echo "$place"
}

make nmnist/tmkt data.static_pool=open
for recipe in tmkt knowledge_transfer baseline; do make "nmnist/$recipe" data.static_pool=open $VGGSNN; done
make nmnist/hsd
for recipe in tmkt baseline hsd; do make "digits/$recipe"; done
