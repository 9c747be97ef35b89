# Sourced by the scripts of the tables: train what is missing, print. Expects table.
DATA="${DATA:-./data}"
install_project
arguments=(--tier "${TIER:-paper}" --jobs "${JOBS:-1}" --resume)
[ -z "${SEEDS:-}" ] || arguments+=(--seeds $SEEDS)
[ -z "${ON:-}" ] || arguments+=(--dataset "$ON")
tmkt table "$table" "${arguments[@]}" data.root="$DATA" data.static_root="${STATIC:-$DATA}" "$@"
