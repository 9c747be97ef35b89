#!/usr/bin/env bash
# The wheel as users get it: for every Python that is named, or every tested Python of this machine but .venv's, makes an
# environment, installs the wheel and what it requires, runs the commands in an empty folder, and removes all of it again
# (6 GB and about 5 minutes each): bash tests/pythons.sh 3.12
# Status 1 if the package does not run there; where its requirements cannot be downloaded, or the Python is not there, a
# line says so and it is left out.
source "$(dirname "$0")/../experiments/env.sh"

# program_of VERSION: python3.12 of the PATH or of pyenv; nothing if there is none.
program_of() {
  local name
  for name in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if [ "$(version_of "$name")" = "$1" ]; then
      echo "$name"
      return
    fi
  done
}

# install PYTHON FOLDER: the wheel, made from the source distribution, and what it requires, into FOLDER/env.
install() {
  "$1" -m venv "$2/env"
  "$2/env/bin/python" -m pip install --quiet build
  "$2/env/bin/python" -m build --outdir "$2/dist" > /dev/null
  "$2/env/bin/python" -m pip install --quiet "$2"/dist/*.whl
}

# use FOLDER: the commands, outside of the checkout.
use() {
  mkdir "$1/empty"
  cd "$1/empty"
  unset PYTHONPATH
  export PATH="$1/env/bin:$PATH"
  tmkt --version
  tmkt list
  tmkt doctor
  tmkt train digits/tmkt --tier smoke
  tmkt table runs
  tmkt report runs
  tmkt figure activity runs/digits/tmkt/*/seed*
  tmkt scripts scripts
  bash scripts/quickstart.sh --tier smoke
}

others() {
  local own
  own="$(version_of .venv/bin/python)"
  own="${own:-$(version_of "$(find_python)")}"
  for version in $TESTED; do [ "$version" = "$own" ] || echo "$version"; done
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
status=0
export -f install use
for version in ${*:-$(others)}; do
  program="$(program_of "$version")"
  if [ -z "$program" ]; then
    echo "Python $version: left out, it is not on the PATH nor among pyenv's"
    continue
  fi
  folder="$work/$version"
  mkdir "$folder"
  if ! timeout 900 bash -ec 'install "$@"' - "$program" "$folder" > "$folder/log.txt" 2>&1; then
    reason="$(grep -m 1 "^ERROR" "$folder/log.txt" || echo "it failed, or took more than 15 minutes")"
    echo "Python $version: left out, its packages could not be installed: $reason"
  elif ! timeout 600 bash -ec 'use "$@"' - "$folder" > "$folder/log.txt" 2>&1; then
    cat "$folder/log.txt"
    echo "error: Python $version: installed, but it does not run, see above" >&2
    status=1
  else
    echo "Python $version: installed from the wheel, trained in an empty folder"
  fi
  rm -rf "$folder"
done
exit "$status"
