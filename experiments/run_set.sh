# Sourced by the scripts of the data sets: check, prepare, train, compare. Expects set_name.
DATA="${DATA:-./data}"
TIER="${TIER:-paper}"
RECIPES="${RECIPES:-baseline knowledge_transfer tsm tmkt}"
install_project
tmkt data check "$set_name" --root "$DATA" || {
  echo "Put the data there, or say where it is: DATA=/path/to/data bash experiments/${set_name}.sh"
  echo "Let 'tmkt data download ${set_name} --root ${DATA}' try the official addresses, or train on a simulated twin:"
  echo "  tmkt data simulate ${set_name} --static FOLDER_WITH_CLASS_FOLDERS_OF_IMAGES --out ${DATA}"
  exit 1
}
arguments=()
for recipe in $RECIPES; do arguments+=("${set_name}/${recipe}"); done
[ "$TIER" = paper ] || arguments+=(--tier "$TIER")
[ -z "${SEEDS:-}" ] || arguments+=(--seeds $SEEDS)
tmkt train "${arguments[@]}" --resume data.root="$DATA" "$@"
tmkt table "runs/${set_name}"
