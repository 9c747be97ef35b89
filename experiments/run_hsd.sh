# Sourced by the scripts of HSD. Expects set_name and tet_steps (the key of TET's T).
DATA="${DATA:-./data}"
TIER="${TIER:-paper}"
[ "$TIER" = smoke ] && STEPS="${STEPS:-1 2}"
STEPS="${STEPS:-1 2 4 5}"
RUNS="runs/hsd_$TIER"
PICTURES="figures/hsd_$TIER/$set_name"
install_project
tmkt data check "$set_name" --root "$DATA" --static-root "${STATIC:-$DATA}" || {
  echo "Then run this again, with DATA=/path/to/data (and STATIC=/path/to/images, if they lie elsewhere)."
  exit 1
}
options=(--tier "$TIER" --jobs "${JOBS:-1}" --resume)
[ -z "${SEEDS:-}" ] || options+=(--seeds $SEEDS)
settings=(data.root="$DATA" data.static_root="${STATIC:-$DATA}" "$@")

# train RUNS RECIPE.. KEY=VALUE..: all runs take over the ANN of their seed, which the first of them trains.
train() {
  local runs="$RUNS/$1"
  shift
  tmkt train "$@" --runs "$runs" "${options[@]}" "${settings[@]}"
}

# table NUMBER: a table of the paper; trains what is missing.
table() { tmkt table "$1" --runs "$RUNS/table" "${options[@]}" "${settings[@]}"; }

# What the paper's Figure 1 shows, and the students: every T trained for itself. TET at the recipe's T gives the line of DTS.
sweep_steps() {
  local steps
  train steps "$set_name/tet"
  for steps in $STEPS; do
    train steps "$set_name/tet" "$tet_steps=$steps"
    train steps "$set_name/hsd" "$set_name/kd" "method.steps=$steps"
  done
  tmkt figure timesteps "$RUNS/steps/$set_name" --out "$PICTURES"
}
