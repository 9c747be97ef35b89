#!/usr/bin/env bash
# Does it pay if the images show nothing new? Knowledge-Transfer, TSM and TMKT on real N-MNIST with VGGSNN, with the images
# of the training recordings only; all else as in ../batch_norm, whose TET draws no image. One training tells both norms.
# The comparison is with TET of ../batch_norm_rerun, which must be of the same machine: on another one, train that first,
# with STUDY=experiments/studies/batch_norm_rerun for ../batch_norm/run.sh. A run takes 2 minutes or more of one core;
# finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   RUNS=runs/pool_nmnist   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl and the picture of docs/explanations/transfer.md; prints its table.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/pool_nmnist RUNS="${RUNS:-runs/pool_nmnist}"
source experiments/studies/batch_norm/nmnist.sh

nmnist "knowledge_transfer tsm tmkt" --seeds ${SEEDS:-42 1024 90210 1 2 3} data.static_pool=partners model.norm=step_own \
  train.keep_every=3
python experiments/studies/batch_norm/rules.py "$RUNS"
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python docs/figures/transfer.py
