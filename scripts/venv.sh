#!/usr/bin/env bash
# Makes a Python environment from pinned requirements: venv.sh FOLDER REQUIREMENTS
set -euo pipefail

folder=$1
requirements=$2
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
touch "$folder/ready"
