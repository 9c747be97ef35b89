#!/usr/bin/env bash
# For every tested Python of this machine but .venv's: makes an environment, installs the source distribution into it as
# a user would, trains a recipe for an epoch, and removes it again (6 GB and about 5 minutes each). Status 1 if the
# package does not run there; where its requirements cannot be downloaded, a line says so and the Python is left out.
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

# install PYTHON FOLDER: the source distribution and what it requires, into FOLDER/env.
install() {
  "$1" -m venv "$2/env"
  "$2/env/bin/python" -m pip install --quiet "setuptools>=70.1"
  "$2/env/bin/python" -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' "$2" > /dev/null
  "$2/env/bin/python" -m pip install --quiet "$2"/*.tar.gz
}

use() {
  "$1/env/bin/tmkt" doctor
  "$1/env/bin/tmkt" train digits/tmkt --tier smoke --runs "$1/runs" data.cache="$1/cache"
}

own="$(version_of .venv/bin/python)"
own="${own:-$(version_of "$(find_python)")}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
status=0
export -f install use
for version in $TESTED; do
  program="$(program_of "$version")"
  if [ "$version" = "$own" ] || [ -z "$program" ]; then continue; fi
  folder="$work/$version"
  mkdir "$folder"
  if ! timeout 900 bash -ec 'install "$@"' - "$program" "$folder" > "$folder/log.txt" 2>&1; then
    reason="$(grep -m 1 "^ERROR" "$folder/log.txt" || echo "it failed, or took more than half an hour")"
    echo "Python $version: left out, its packages could not be installed: $reason"
  elif ! timeout 600 bash -ec 'use "$@"' - "$folder" > "$folder/log.txt" 2>&1; then
    cat "$folder/log.txt"
    echo "error: Python $version: installed, but it does not run, see above" >&2
    status=1
  else
    echo "Python $version: installed, trained"
  fi
  rm -rf "$folder"
done
exit "$status"
