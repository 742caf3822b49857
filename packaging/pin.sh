#!/bin/sh
# Resolves packaging/constraints.txt anew: installs this checkout into a fresh environment within the ranges of
# pyproject.toml and writes down every version that came. Takes a PyTorch to hold on to: sh packaging/pin.sh 2.13.0
set -eu

torch=${1:-2.13.0}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
# 6.12.0 is left out by pyproject.toml; the next minor version wants a look of its own.
printf 'torch==%s\nPySide6-Essentials<6.12\n' "$torch" >"$folder/held.txt"
"$folder/venv/bin/python" -m pip install --disable-pip-version-check -e ".[starter,test]" -c "$folder/held.txt"

sed -n '/^#/p' packaging/constraints.txt >"$folder/pins.txt"
# A build's local part (+cpu) and CUDA's own packages depend on the machine; setuptools builds the wheel in a test.
"$folder/venv/bin/python" -m pip freeze --all --exclude-editable --disable-pip-version-check |
    grep -vE '^(pip|triton|cuda-[a-z]+|nvidia-(cu|nc|nv)[a-z0-9-]*)==' |
    sed 's/^\(torch==[^+]*\)+.*/\1/' >>"$folder/pins.txt"
cp "$folder/pins.txt" packaging/constraints.txt
