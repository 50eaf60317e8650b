#!/usr/bin/env bash
# bash tools/dist_train.sh CONFIG NUM_PROCESSES [train.py arguments]
# One process a GPU; without a GPU the processes run on the CPU. Several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash tools/dist_train.sh CONFIG NUM_PROCESSES [train.py arguments]" >&2; exit 2; }
CONFIG=$1 NUM=$2
shift 2
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch "$NUM" "$(dirname "${BASH_SOURCE[0]}")/train.py" "$CONFIG" --launcher pytorch "$@"
