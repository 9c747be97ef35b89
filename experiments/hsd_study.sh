#!/usr/bin/env bash
# The study behind docs/hsd.md: ANN, converted, KD, SKD and TET at T 1, 2, 4, 5 on small data sets, 3 seeds.
#   DATA=./data       folder with nmnist/ and cifar10_jpg/ (or the official layouts); TWIN=./twin a simulated CIFAR10-DVS
#   SETS="nmnist digits cifar10 cifar10dvs"   SEEDS="42 1024 90210"   JOBS=1 (runs at a time)   OUT=runs/hsd_study
source "$(dirname "$0")/env.sh"
install_project
DATA="${DATA:-./data}"
OUT="${OUT:-runs/hsd_study}"

# study SET TET KEY=VALUE..: TET sees the frames that the student sees.
study() {
  local name="$1" tet="$2" steps
  shift 2
  for steps in 1 2 4 5; do
    tmkt train "$name/hsd" "$name/kd" "$name/$tet" --tier small --seeds ${SEEDS:-42 1024 90210} --jobs "${JOBS:-1}" --threads 1 \
      --resume --runs "$OUT" "method.steps=$steps" "$@"
  done
}

for name in ${SETS:-nmnist digits cifar10 cifar10dvs}; do
  case "$name" in
    nmnist) study nmnist baseline data.root="$DATA" ;;
    digits) study digits baseline ;;
    cifar10) study cifar10 tet data.root="$DATA" ;;
    cifar10dvs) study cifar10dvs tet data.root="${TWIN:-./twin}" ;;
  esac
  tmkt figure timesteps "$OUT/$name" --out "$OUT/figures/$name"
done
