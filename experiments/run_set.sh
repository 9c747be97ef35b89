# Sourced by the scripts of the data sets: check, prepare, train, compare. Expects set_name.
DATA="${DATA:-./data}"
STATIC="${STATIC:-$DATA}"
TIER="${TIER:-paper}"
RECIPES="${RECIPES:-baseline knowledge_transfer tsm tmkt}"
install_project
tmkt data check "$set_name" --root "$DATA" --static-root "$STATIC" || {
  echo "Then run this again, with DATA=/path/to/data (and STATIC=/path/to/images, if they lie elsewhere)."
  exit 1
}
arguments=()
for recipe in $RECIPES; do arguments+=("${set_name}/${recipe}"); done
arguments+=(--tier "$TIER")
[ -z "${SEEDS:-}" ] || arguments+=(--seeds $SEEDS)
tmkt train "${arguments[@]}" --resume data.root="$DATA" data.static_root="$STATIC" "$@"
tmkt table "runs/${set_name}"
