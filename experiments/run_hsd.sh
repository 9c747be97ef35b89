# Sourced by the scripts of HSD. Expects set_name, tet_steps (the key of TET's T) and figure_of (what Figure 4 compares).
DATA="${DATA:-./data}"
TIER="${TIER:-paper}"
STEPS="${STEPS:-1 2 4 5}"
install_project
tmkt data check "$set_name" --root "$DATA" --static-root "${STATIC:-$DATA}" || {
  echo "Then run this again, with DATA=/path/to/data (and STATIC=/path/to/images, if they lie elsewhere)."
  exit 1
}
options=(--tier "$TIER" --jobs "${JOBS:-1}" --resume)
[ -z "${SEEDS:-}" ] || options+=(--seeds $SEEDS)
settings=(data.root="$DATA" data.static_root="${STATIC:-$DATA}" "$@")

# All runs share the ANN of their seed, which is trained by the first of them.
train() { tmkt train "$@" "${options[@]}" "${settings[@]}"; }

# What the paper's Figure 1 shows, and the students: every T trained for itself. TET at the recipe's T gives the line of DTS.
sweep_steps() {
  local steps
  train "$set_name/tet" --runs runs/hsd
  for steps in $STEPS; do
    train "$set_name/tet" --runs runs/hsd "$tet_steps=$steps"
    train "$set_name/hsd" "$set_name/kd" --runs runs/hsd "method.steps=$steps"
  done
  tmkt figure timesteps "runs/hsd/$set_name" --out "figures/hsd_$set_name"
}
