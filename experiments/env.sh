# Sourced by the scripts: makes or reuses .venv beside the project, installs the project into it, enters the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore::FutureWarning}"

# The first of python3.12, python3.11 and python3 that is new enough.
find_python() {
  local name
  for name in "${PYTHON:-}" python3.12 python3.11 python3 python; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python 3.11 or newer found; install one or set PYTHON=/path/to/python" >&2
  return 1
}

# install_project EXTRAS: does nothing when the requirements did not change since the last time.
install_project() {
  local extras="${1:-}" stamp wanted
  stamp=".venv/installed${extras}"
  wanted="$(cat requirements.txt setup.py | cksum)"
  [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing into .venv (PyTorch is large: about 3 minutes and 6 GB the first time) ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
    PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras}"
    echo "$wanted" > "$stamp"
  fi
  export PATH="$PWD/.venv/bin:$PATH"
}
