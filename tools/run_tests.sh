#!/usr/bin/env bash
# Make an environment with the test extra, then lint and test. `.ci/run` calls exactly this.
# Arguments go to pytest: `bash tools/run_tests.sh -k silog`. Without any, tests marked `long` are left out:
# `bash tools/run_tests.sh -m long` runs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/environment.sh
python -m pip install --quiet -e '.[tests]'

# Two processes of one thread each: most tests are too small for a second thread. Three on two cores took longer.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
ruff check .
ruff format --check .
[ $# -gt 0 ] || set -- -m "not long"
# yapf (mmengine imports it) writes a cache at its first import after an installation, and not atomically: a second
# process that starts at that moment reads half a file.
python -c 'import yapf'
python -m pytest -n 2 --dist worksteal "$@"
