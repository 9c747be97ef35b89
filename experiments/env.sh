# Sourced by the scripts. In a checkout: makes or reuses .venv beside the project, installs the project into it, enters the
# project. Elsewhere (`tmkt scripts DIR`): uses the tmkt of the PATH, in the current folder.
set -euo pipefail
unset CDPATH
SCRIPTS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
CHECKOUT=""
if [ -f "$SCRIPTS/../setup.py" ] && [ -d "$SCRIPTS/../braincog_tmkt" ]; then
  cd "$SCRIPTS/.."
  CHECKOUT="$PWD"
fi
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore::FutureWarning}"

TESTED="3.13 3.12 3.11"

# version_of PYTHON: 3.12, say; nothing if it does not run.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

# The Python of PYTHON=, or the first tested one on the PATH; a newer one is taken when PYTHON= names it.
find_python() {
  local name version
  if [ -n "${PYTHON:-}" ]; then
    version="$(version_of "$PYTHON")"
    case " $TESTED " in *" ${version:-none} "*) echo "$PYTHON"; return ;; esac
    if [ -z "$version" ]; then
      echo "error: PYTHON=$PYTHON does not run" >&2
    elif "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "note: Python $version was never tested with this project; these were: $TESTED" >&2
      echo "$PYTHON"
      return
    else
      echo "error: PYTHON=$PYTHON is Python $version, too old; take one of $TESTED" >&2
    fi
    return 1
  fi
  for name in $(printf 'python%s ' $TESTED) python3 python; do
    version="$(version_of "$name")"
    case " $TESTED " in *" ${version:-none} "*) echo "$name"; return ;; esac
  done
  version="$(version_of python3)"
  echo "error: no Python $TESTED on the PATH${version:+ (python3 is $version)}; install one or set PYTHON=/path/to/python" >&2
  return 1
}

# make_environment: .venv, unless it is there already; refuses one of another Python than PYTHON= asks for.
make_environment() {
  local python there
  if [ ! -x .venv/bin/python ]; then
    python="$(find_python)"
    "$python" -m venv .venv
  elif [ -n "${PYTHON:-}" ]; then
    there="$(version_of .venv/bin/python)"
    if [ "$(version_of "$PYTHON")" != "$there" ]; then
      echo "error: .venv has Python $there, PYTHON=$PYTHON is another one: remove .venv first, or unset PYTHON" >&2
      return 1
    fi
  fi
}

# install_project EXTRAS: does nothing when the requirements did not change since the last time, or outside a checkout.
install_project() {
  local extras="${1:-}" stamp wanted
  if [ -z "$CHECKOUT" ]; then
    tmkt --version > /dev/null 2>&1 && return
    echo "error: there is no tmkt on the PATH that runs: activate the environment that has it, or install the wheel with pip" >&2
    return 1
  fi
  stamp=".venv/installed${extras}"
  make_environment
  wanted="$(version_of .venv/bin/python) $(cat requirements.txt setup.py braincog_tmkt/__init__.py | cksum)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing into .venv (PyTorch is large: about 3 minutes and 6 GB the first time) ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
    PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras}"
    echo "$wanted" > "$stamp"
  fi
  export PATH="$PWD/.venv/bin:$PATH"
}
