#!/usr/bin/env bash
# bash tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [test.py arguments]
# One process a GPU; without a GPU the processes run on the CPU. Several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [test.py arguments]" >&2; exit 2; }
CONFIG=$1 CHECKPOINT=$2 NUM=$3
shift 3
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch "$NUM" "$(dirname "${BASH_SOURCE[0]}")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
