#!/usr/bin/env bash
# Does it pay if the images show nothing new? Knowledge-Transfer, TSM and TMKT on real N-MNIST with VGGSNN, with the images
# of the training recordings only; all else as in ../batch_norm, whose TET draws no image. One training tells both norms.
# The comparison is with TET of ../batch_norm_rerun, which must be of the same machine: on another one, train that first,
# with STUDY=experiments/studies/batch_norm_rerun ../batch_norm/run.sh. A run takes 2 minutes or more of one core;
# finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   RUNS=runs/pool_nmnist   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl and the picture of docs/explanations/transfer.md; prints its table.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/pool_nmnist RUNS="${RUNS:-runs/pool_nmnist}"

tmkt train nmnist/{knowledge_transfer,tsm,tmkt} --tier vggsnn --seeds ${SEEDS:-42 1024 90210 1 2 3} --threads 1 \
  --jobs "${JOBS:-1}" --resume --runs "$RUNS" data.root="${DATA:-./data}" data.static_pool=partners \
  data.train_per_class=20 data.val_portion=0.5 train.epochs=60 train.eval_every=3 train.keep_every=3 \
  train.precision=bf16-mixed model.norm=step_own
python experiments/studies/batch_norm/rules.py "$RUNS"
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python docs/figures/transfer.py
