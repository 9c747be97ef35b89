#!/usr/bin/env bash
# From nothing to two accuracies: installs into .venv, trains the baseline and TMKT on the embedded digits, compares.
# Needs no data and no GPU. Options are passed on, e.g.: bash experiments/quickstart.sh train.epochs=3
source "$(dirname "$0")/env.sh"
install_project
tmkt train digits/baseline digits/tmkt --tier small --resume "$@"
tmkt table runs/digits
[ -z "$CHECKOUT" ] || printf '\nTo use tmkt yourself, in this shell: source %s/bin/activate\n' "$(printf '%q' "$CHECKOUT/.venv")"
