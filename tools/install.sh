#!/usr/bin/env bash
# Makes .venv and installs what the project needs, and the package itself in editable mode, once: a second call with the
# same requirements does nothing. `install.sh --test` adds the test tools. A machine without an NVIDIA GPU gets torch's
# much smaller CPU build, if PyTorch's own index answers. After an installation that was cut short, the next call starts
# with a clean .venv.
set -u
cd "$(dirname "$0")/.." || exit 1

fail() { echo "error: $*" >&2; exit 1; }

plain="requirements.txt constraints.txt pyproject.toml"
files="$plain"
[ "${1:-}" = "--test" ] && files="$files requirements-test.txt"
python="${PYTHON:-python3}"

command -v "$python" >/dev/null || fail "no $python: install Python 3.10 or newer, or name one, as in PYTHON=python3.12 bash run.sh"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || fail "$("$python" --version) is too old: install Python 3.10 or newer and name it, as in PYTHON=python3.12 bash run.sh"
"$python" -c 'import venv, ensurepip' 2>/dev/null \
    || fail "this Python has no venv module: on Debian and Ubuntu, apt install python3-venv"

wanted="$("$python" --version) $(cat $files | cksum)"
stamp=.venv/installed
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0
# The test tools' stamp covers the plain one: run.sh after test.sh has nothing to do.
[ "${1:-}" != "--test" ] && [ "$(cat .venv/installed-plain 2>/dev/null)" = "$wanted" ] && [ -e "$stamp" ] && exit 0

cpu_index=https://download.pytorch.org/whl/cpu
torch_from=""
if ! command -v nvidia-smi >/dev/null && [ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] && "$python" -c \
    "import urllib.request as r; r.urlopen('$cpu_index/torch/', timeout=5)" 2>/dev/null; then
    torch_from="--index-url $cpu_index"
fi
need_gb=9; [ -n "$torch_from" ] && need_gb=3
free_gb=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1048576))
[ -e "$stamp" ] || [ "$free_gb" -ge "$need_gb" ] \
    || fail "$free_gb GB free here, but .venv needs about $need_gb GB: make room, or clone to a larger disk"

if [ ! -e "$stamp" ]; then
    echo "installing into .venv (some minutes, once)"
    "$python" -m venv --clear .venv || fail "could not make .venv: remove the folder and try again"
fi
rm -f "$stamp"
log=.venv/install.log
: >"$log"

# uv downloads side by side and unpacks quickly; what it cannot install, pip tries. uv does not read pip's settings, so
# the index and the links are handed on.
.venv/bin/python -m pip install --disable-pip-version-check uv >>"$log" 2>&1
settings="$(.venv/bin/python -m pip config list 2>/dev/null)"
pip_setting() { sed -n "s/.*\.$1='\(.*\)'\$/\1/p" <<<"$settings" | tail -1; }
index="$(pip_setting index-url)" links="$(pip_setting find-links)"
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$links}"

pip_install() {
    .venv/bin/python -m uv pip install "$@" >>"$log" 2>&1 ||
        .venv/bin/python -m pip install --disable-pip-version-check "$@" >>"$log" 2>&1
}

install_with() {  # $1: "-c constraints.txt" for the tested versions, or nothing
    if [ -n "$torch_from" ]; then
        pip_install $1 $torch_from torch || pip_install $1 torch || return 1
    fi
    pip_install $1 "setuptools>=77" -r requirements.txt $([ "$files" = "$plain" ] || echo "-r requirements-test.txt")
}

explain() {
    if grep -qi "no space left" "$log"; then fail "the disk is full: make room for about $need_gb GB and run this again"; fi
    if grep -qiE "proxyerror|tunnel connection failed|407 proxy" "$log"; then
        fail "the proxy refused the download: set https_proxy to one that lets pip through, and run this again"; fi
    if grep -qiE "temporary failure in name|failed to establish|connection refused|network is unreachable|timed out" "$log"; then
        fail "the package index cannot be reached: check the network (or pip's index-url), and run this again"; fi
    fail "pip could not install the requirements; the end of $log says why: $(grep -i error "$log" | tail -1)"
}

if ! install_with "-c constraints.txt"; then
    # The tested versions may not exist for this Python or machine; the ranges of requirements.txt may.
    grep -qiE "no matching distribution|resolutionimpossible|requires a different python" "$log" || explain
    echo "the tested versions do not fit this machine; taking what requirements.txt allows"
    : >"$log"
    install_with "" || explain
fi
# Without build isolation, pip builds with the setuptools just installed and needs no network.
pip_install --no-deps --no-build-isolation -e . || explain
echo "$("$python" --version) $(cat $plain | cksum)" >.venv/installed-plain
echo "$wanted" >"$stamp"
