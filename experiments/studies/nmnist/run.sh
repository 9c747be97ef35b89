#!/usr/bin/env bash
# When does the transfer pay? MNIST -> N-MNIST at 5, 10, 20 and 30 training recordings a class, static images of these
# recordings only and all that show no test recording, and the parts of the method one by one at 10 a class. About an
# hour and a half on 2 CPU cores; finished runs are skipped. DATA=./data  RUNS=runs/few_recordings  SHARD=1/1 (several at once: 1/2 and 2/2)
# Writes records.jsonl, summary.csv and the picture in README.md.
source "$(dirname "$0")/../../env.sh"
install_project
STUDY=experiments/studies/nmnist RUNS="${RUNS:-runs/few_recordings}"
PARTS="mag mrp tsm_event1 tmkt_event1 tsm_event1_no_cka tmkt_static2"

# study POOL COUNT RECIPE..
study() {
  local pool="$1" count="$2"
  shift 2
  tmkt train "${@/#/nmnist/}" --threads 1 --resume --runs "$RUNS" --shard "${SHARD:-1/1}" \
    data.root="${DATA:-./data}" data.train_per_class="$count" data.static_pool="$pool"
}

for count in 5 10 20 30; do
  study partners "$count" baseline knowledge_transfer tsm tmkt
  study open "$count" knowledge_transfer tsm tmkt
done
study partners 10 $PARTS
study open 10 $PARTS
python -m braincog_tmkt.results.pack "$RUNS" --into "$STUDY/records.jsonl"
python "$STUDY/figure.py" > "$STUDY/summary.csv"
tmkt table "$STUDY"
