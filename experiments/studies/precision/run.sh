#!/usr/bin/env bash
# What bf16-mixed costs in accuracy: MNIST -> N-MNIST, 20 recordings a class, open pool, SCNN at 28x28 and VGGSNN (1/4 of
# the paper's width, T 4, 32x32), each in fp32 and in bf16. DATA=./data  RUNS=runs  SHARD=1/1 (several at once: 1/2, 2/2)
source "$(dirname "$0")/../../env.sh"
install_project

# study PRECISION NAME KEY=VALUE..: baseline and TMKT
study() {
  local precision="$1" runs="${RUNS:-runs}/$2"
  shift 2
  tmkt train nmnist/baseline nmnist/tmkt --threads 1 --resume --runs "$runs" --shard "${SHARD:-1/1}" \
    data.root="${DATA:-./data}" data.train_per_class=20 data.static_pool=open train.precision="$precision" "$@"
}

for precision in 32-true bf16-mixed; do
  study "$precision" precision/scnn
  study "$precision" precision/vggsnn model.name=tmkt_vggsnn model.act_fun=QGateGrad model.width=0.25 data.steps=4 \
    data.size=32 train.epochs=30 train.eval_every=30
done
python -m braincog_tmkt.results.pack "${RUNS:-runs}/precision" --into experiments/studies/precision/records.jsonl
for net in scnn vggsnn; do tmkt table experiments/studies/precision "model.name=tmkt_$net"; done
