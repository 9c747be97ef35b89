# Sourced by the scripts of the data sets: check, prepare, train, compare. Expects set_name.
DATA="${DATA:-./data}"
STATIC="${STATIC:-$DATA}"
TIER="${TIER:-paper}"
RECIPES="${RECIPES:-baseline knowledge_transfer tsm tmkt}"
install_project
data_keys=()
for key in "$@"; do [[ "$key" != data.* ]] || data_keys+=("$key"); done
tmkt data check "$set_name" --root "$DATA" --static-root "$STATIC" "${data_keys[@]}" || {
  echo "Then run this again, with DATA=/path/to/data (and STATIC=/path/to/images, if they lie elsewhere)."
  exit 1
}
arguments=()
for recipe in $RECIPES; do arguments+=("${set_name}/${recipe}"); done
arguments+=(--tier "$TIER")
[ -z "${SEEDS:-}" ] || arguments+=(--seeds $SEEDS)
tmkt train "${arguments[@]}" --resume data.root="$DATA" data.static_root="$STATIC" "$@"
tmkt table "runs/${set_name}"
