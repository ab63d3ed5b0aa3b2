#!/usr/bin/env bash
# Side by side with nkululeko on RAVDESS's 8 classes: openSMILE's eGeMAPSv02 with an SVM, and Whisper tiny.en with an SVM.
# Installs nkululeko into an environment of its own, writes its INI and CSV, runs both programs one after the other, and
# prints a table; docs/peers.csv, from which benchmarks/README.md has its table, is a copy.
#
#   bash benchmarks/peers.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en] [folder for nkululeko]
#
# The defaults are ../shared/data/ravdess, ../shared/encoder and benchmarks/.peers. Where the second folder is not there,
# Whisper is taken from the Hugging Face hub. Needs openSMILE here too: pip install -e .[egemaps]. SPEAKERS=6 takes only the
# first six actors for Whisper; MEASURE="taskset -c 0,1" goes before each program that is measured. nkululeko brings torch;
# pip takes its build with CUDA, several GB, unless its settings name another index.
set -eu
shared=$(dirname "$0")/../../shared
corpus=$(realpath "${1:-$shared/data/ravdess}")
encoder=$(realpath -m "${2:-$shared/encoder}")/whisper-tiny.en
peers=$(realpath -m "${3:-$(dirname "$0")/.peers}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
$python -c "import opensmile" || { echo "error: this needs openSMILE: $python -m pip install -e .[egemaps]" >&2; exit 1; }

if [ ! -e "$peers/installed" ]; then
    $python -m venv --clear "$peers/env"
    if command -v uv >/dev/null; then uv pip install -q --python "$peers/env/bin/python" nkululeko==1.14.1
    else "$peers/env/bin/python" -m pip install -q nkululeko==1.14.1; fi
    touch "$peers/installed"
fi
mkdir -p "$peers/work"
[ -d "$encoder" ] && encoder="--encoder $encoder" || encoder=""

run() {  # ours or nkululeko, part, flags
    ${MEASURE:-} $python benchmarks/peers.py "$@" --work "$peers/work" --corpus "$corpus" --peer "$peers/env/bin/python"
}
run ours acoustic
run ours egemaps
run nkululeko egemaps
run nkululeko egemaps-c10
run nkululeko egemaps-own
run nkululeko egemaps-train
run ours whisper $encoder --speakers "${SPEAKERS:-24}"
run nkululeko whisper $encoder
$python benchmarks/peers.py table --work "$peers/work" --out docs/peers.csv
$python tools/readme_tables.py
