#!/bin/sh
# Makes .venv and installs this checkout into it, editable, with the pinned versions. `make` calls it:
#     sh packaging/setup.sh EXTRAS STAMP...
# The stamps are touched last, so an installation that failed half-way is never taken for a finished one.
set -eu

extras=$1
shift
venv=.venv
min=11
max=13

python_of() { # the interpreter inside a virtual environment, on Windows too
    if [ -e "$1/Scripts/python.exe" ]; then echo "$1/Scripts/python.exe"; else echo "$1/bin/python"; fi
}

suits() {
    "$1" -c "import sys; sys.exit(not (3, $min) <= sys.version_info[:2] <= (3, $max))" >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11 python; fi
    for candidate in "$@"; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    found=$("$1" --version 2>&1 | head -n 1)
    cat >&2 <<MESSAGE
Finetune Studio needs Python 3.11, 3.12 or 3.13. Found: ${found:-none}.
Install one of them:
    Debian, Ubuntu   sudo apt-get install python3 python3-venv
    Fedora           sudo dnf install python3.12
    macOS            brew install python@3.12
or name one that is already there:  make run PYTHON=/path/to/python3.12
MESSAGE
    return 1
}

can_make_environments() {
    "$1" -c "import ensurepip, venv" >/dev/null 2>&1 && return
    version=$("$1" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    cat >&2 <<MESSAGE
This Python ($1, $version) cannot make virtual environments: its ensurepip module is missing.
Debian and Ubuntu keep it in a package of its own. Install that and run the same make command again:
    sudo apt-get install python$version-venv
MESSAGE
    return 1
}

usable() { # an environment of the right Python that has pip and was made in this place: its scripts hold its path
    inside=$(python_of "$venv")
    [ -e "$inside" ] && suits "$inside" && "$inside" -m pip --version >/dev/null 2>&1 &&
        "$inside" -c "import os, sys; sys.exit(sys.argv[1] not in open(os.path.join(sys.prefix, 'pyvenv.cfg')).read())" "$PWD/$venv"
}

if ! usable; then
    python=$(find_python)
    can_make_environments "$python"
    echo "Making $venv with $("$python" --version)."
    "$python" -m venv --clear "$PWD/$venv"
fi

rm -f "$venv"/.installed-*
echo "Installing the pinned versions into $venv. This needs the network, once; PyTorch is the large part."
if ! "$(python_of "$venv")" -m pip install --disable-pip-version-check -e ".[$extras]" -c packaging/constraints.txt; then
    echo "The installation failed; pip says why above. Run the same make command again once that is mended." >&2
    exit 1
fi
touch "$@"
