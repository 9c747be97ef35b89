#!/usr/bin/env bash
# Tables 1 to 4 on real N-MNIST with VGGSNN at a quarter of its width: the rows of Tables 2 to 4 that the study
# ../batch_norm does not have, at its settings; one training tells both norms, `step` and `step_own`. A run takes
# 2 to 3 minutes of one core, its evaluation with `step` half a minute; finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   RUNS=runs/tables_nmnist_vggsnn   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, one for each table; prints the tables of docs/results/tables.md.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/tables_nmnist_vggsnn RUNS="${RUNS:-runs/tables_nmnist_vggsnn}"

# rows TABLE RECIPES..
rows() {
  local table="$1"
  shift
  tmkt train "${@/#/nmnist/}" --tier vggsnn --seeds ${SEEDS:-42 1024 90210 1 2 3} --threads 1 --jobs "${JOBS:-1}" --resume \
    --runs "$RUNS/$table" data.root="${DATA:-./data}" data.static_pool=open data.train_per_class=20 data.val_portion=0.5 \
    train.epochs=60 train.eval_every=3 train.keep_every=3 train.precision=bf16-mixed model.norm=step_own
  python experiments/studies/batch_norm/rules.py "$RUNS/$table"
  python -m braincog_tmkt.results.pack "$RUNS/$table" --into "$STUDY/$table/records.jsonl"
}

rows table2 mag mrp
rows table3 ratio_0.3 ratio_0.5 ratio_0.6 ratio_0.7
rows table4 fixed dynamic_linear dynamic_nonlinear
python "$STUDY/compare.py"
