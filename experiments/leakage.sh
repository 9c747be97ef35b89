#!/usr/bin/env bash
# What is a leak worth? Baseline, Knowledge-Transfer and TMKT under protocols whose static images do and do not show the
# test recordings: N-MNIST (real) and the simulated twin of the whole N-Caltech101, small networks. About two hours on 2
# CPU cores; finished runs are skipped. Writes the table and the picture of docs/leakage.md.
#   NMNIST=./data/nmnist_and_images  TWIN=./data/twin  IMAGES=./data  SEEDS="42 1024 90210"  RUNS=runs  SHARD=1/1
source "$(dirname "$0")/env.sh"
install_project
RUNS="${RUNS:-runs}"
METHODS="knowledge_transfer tmkt"

# study SET PROTOCOL RECIPES OVERRIDES..
study() {
  local set="$1" protocol="$2" recipes="$3"
  shift 3
  # shellcheck disable=SC2086
  tmkt train ${recipes//@/$set/} --seeds $SEED --threads 1 --resume --runs "$RUNS" --shard "${SHARD:-1/1}" \
    data.protocol="$protocol" imports='[experiments.leakage.control]' "$@"
}

ncaltech101() {
  study ncaltech101 "$1" "$2" data.root="${TWIN:-./data/twin}" data.static_root="${IMAGES:-./data}" data.val_portion=0 \
    model.name=tmkt_scnn model.act_fun=BackEIGateGrad data.steps=4 data.size=28 train.epochs=10 train.batch=32 \
    train.eval_every=10 train.eval_batch=120 optim.lr=1e-3 optim.lr_scale_base=null optim.warmup_epochs=1
}

nmnist() {
  study nmnist "$1" "$2" data.root="${NMNIST:-./data}" data.train_per_class=null data.train_portion=0.5 data.steps=4 train.eval_every=40 \
    train.epochs=40
}

for SEED in ${SEEDS:-42 1024 90210}; do
  for set in nmnist ncaltech101; do
    for protocol in clean published published_unsorted; do
      $set "$protocol" "@baseline @${METHODS/ / @}"
    done
    $set unsorted_control "@${METHODS/ / @}"
  done
done
python experiments/leakage/figure.py "$RUNS" docs/figures/leakage.png
