#!/usr/bin/env bash
# Makes .venv, installs the test tools too, and runs the tests.
#
#   bash test.sh                 all but the slow ones: one and a half to two minutes on two cores, besides the installation
#   bash test.sh --all           all, as in CI: 13 to 16 minutes
#   bash test.sh tests/splits    anything else goes to pytest
#
# Tests on real speech are skipped, with the reason, where ../shared is not there.
set -u
cd "$(dirname "$0")" || exit 1
bash tools/install.sh --test || exit 1
# Threads that wait without spinning: the suite starts many short processes.
export OMP_WAIT_POLICY=passive
# One worker per core; the tests of a file stay together, because they share what is made for them. Files begin in the
# order of tests/conftest.py.
case ${1-} in
    "") set -- -m "not slow" ;;
    --all) shift ;;
esac
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
