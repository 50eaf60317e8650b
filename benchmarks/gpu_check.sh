#!/usr/bin/env bash
# Check and measure on a CUDA machine, in four steps that take less than 10 minutes each.
#   bash benchmarks/gpu_check.sh STEP OUT [WHEELS]
# 1: tests of `pytest -m gpu`, compute-sanitizer, deformable attention with a scan of tiles and warps
# 2: eager training steps of DepthFormer Swin-L and BinsFormer Swin-L
# 3: inference, compiled training, fp16; NCCL with one process, a killed and resumed run
# 4: ScaleDepth, other methods, presets with one seed
# OUT gets cuda/stepN.json, written after every measurement, and stepN.log. WHEELS is a folder of wheels that are missing
# (mmengine, mmcv-lite and what they need); they are unpacked beside the installed packages. PYTHON names the interpreter.
# Results come into the docs by: cp OUT/cuda/*.json docs/benchmarks/cuda/ && python benchmarks/write_page.py
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
case $1 in [1-4]) ;; *) echo "STEP is 1, 2, 3 or 4, got '$1'" >&2; exit 2 ;; esac
step=$1
mkdir -p "$2/cuda"
out=$(cd "$2" && pwd)
wheels=${3:+$(cd "$3" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$wheels" ]; then
    site=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$site" "$wheels"/*.whl || exit
    PYTHONPATH="$PYTHONPATH:$site"
fi
exec > >(tee "$out/step$step.log") 2>&1
"$python" -c 'import torch, triton; print(torch.__version__, triton.__version__, torch.cuda.get_device_name())' || exit

failed=0
# try SECONDS COMMAND...: run it, go on if it fails.
try() {
    local seconds=$1
    shift
    echo "== $* (at most $seconds s)"
    timeout --kill-after=10 "$seconds" "$@" || { echo "== exit code $?: $*"; failed=1; }
}
measure() { try "$1" "$python" tools/analysis_tools/benchmark_all.py --device cuda --step "$step" --results "$out" --no-page; }

case $step in
    1)
        try 30 "$python" benchmarks/kernels.py --arch 90
        try 240 "$python" -m pytest -m gpu -q -p no:cacheprovider -rs --durations=10 tests/gpu tests/ops
        if command -v compute-sanitizer >/dev/null; then
            for tool in memcheck racecheck; do
                try 60 compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m tests.ops.triton_check cuda
            done
        else
            echo '== compute-sanitizer is not on the PATH: left out'
        fi
        measure 200
        ;;
    2) measure 580 ;;
    3)
        try 120 "$python" -m pytest -m gpu -q -p no:cacheprovider -rs tests/gpu/test_training.py \
            -k 'nccl or killed or mixed_precision'
        measure 460
        ;;
    4) measure 580 ;;
esac
echo "== step $step: failed: $failed"
exit $failed
