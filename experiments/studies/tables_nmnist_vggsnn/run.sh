#!/usr/bin/env bash
# Tables 1 to 4 on real N-MNIST with VGGSNN at a quarter of its width: the rows of Tables 2 to 4 that the study
# ../batch_norm does not have, at its settings; one training tells both norms, `step` and `step_own`. A run takes
# 2 to 3 minutes of one core, its evaluation with `step` half a minute; finished runs are skipped.
# DATA=./data (with nmnist/ and mnist_png/)   RUNS=runs/tables_nmnist_vggsnn   JOBS=1   SEEDS="42 1024 90210 1 2 3"
# Writes records.jsonl, one for each table; prints the tables of docs/results/tables.md.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/tables_nmnist_vggsnn ROWS="${RUNS:-runs/tables_nmnist_vggsnn}"
source experiments/studies/batch_norm/nmnist.sh

# rows TABLE RECIPES
rows() {
  RUNS="$ROWS/$1"
  nmnist "$2" --seeds ${SEEDS:-42 1024 90210 1 2 3} data.static_pool=open model.norm=step_own train.keep_every=3
  python experiments/studies/batch_norm/rules.py "$RUNS"
  python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/$1/records.jsonl"
}

rows table2 "mag mrp"
rows table3 "ratio_0.3 ratio_0.5 ratio_0.6 ratio_0.7"
rows table4 "fixed dynamic_linear dynamic_nonlinear"
python "$STUDY/compare.py"
