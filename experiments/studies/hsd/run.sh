#!/usr/bin/env bash
# The study behind docs/results/hsd.md: ANN, converted, KD, SKD and TET at T 1, 2, 4, 5 on small data sets, and HSD on top of TMKT; 3 seeds.
#   DATA=./data       folder with nmnist/, mnist_png/ and cifar10_jpg/ (or the official layouts); TWIN=./twin a simulated CIFAR10-DVS
# A set whose data are not there is left out, with a sentence that says what to get.
#   SETS="nmnist digits cifar10 cifar10dvs tmkt"   SEEDS="42 1024 90210"   JOBS=1 (runs at a time)   OUT=runs/hsd_study
source "$(dirname "$0")/../../env.sh"
install_project
DATA="${DATA:-./data}"
OUT="${OUT:-runs/hsd_study}"

# study NAME RECIPES KEY=VALUE..: TET sees the frames that the student sees.
study() {
  local name="$1" recipes="$2" steps
  shift 2
  for steps in 1 2 4 5; do
    tmkt train $recipes --tier small --seeds ${SEEDS:-42 1024 90210} --jobs "${JOBS:-1}" --threads 1 --resume \
      --runs "$OUT/$name" "method.steps=$steps" "$@"
  done
  python -m braincog_tmkt.results.pack "$OUT/$name" --into "experiments/studies/hsd/${recipes%%/*}/records.jsonl"
  tmkt figure timesteps "$OUT/$name" --out "$OUT/figures/$name"
}

left_out=() ran=0
for name in ${SETS:-nmnist digits cifar10 cifar10dvs tmkt}; do
  set_name="${name/#tmkt/nmnist}" root="$DATA"
  [ "$name" != cifar10dvs ] || root="${TWIN:-./twin}"
  tmkt data check "$set_name" --root "$root" || { left_out+=("$name"); continue; }
  ran=1
  case "$name" in
    nmnist) study nmnist "nmnist/hsd nmnist/kd nmnist/baseline" data.root="$root" ;;
    digits) study digits "digits/hsd digits/kd digits/baseline" ;;
    cifar10) study cifar10 "cifar10/hsd cifar10/kd cifar10/tet" data.root="$root" ;;
    cifar10dvs) study cifar10dvs "cifar10dvs/hsd cifar10dvs/kd cifar10dvs/tet" data.root="$root" ;;
    tmkt) study tmkt "nmnist/hsd_tmkt nmnist/tmkt_distilled" data.root="$root" data.static_pool=open ;;
  esac
done
[ ${#left_out[@]} -eq 0 ] || echo "Skipped, data not found: ${left_out[*]}" >&2
[ "$ran" = 1 ]
