#!/usr/bin/env bash
# Check and measure on a CUDA machine, in four steps of less than 10 minutes that fit half an hour together.
#   bash benchmarks/gpu_check.sh STEP OUT [WHEELS]
#   bash benchmarks/gpu_check.sh --rehearse STEP OUT [WHEELS]
# 1: tests of `pytest -m gpu`, deformable attention, a scan of its tiles and warps, compute-sanitizer
# 2: eager training steps of DepthFormer Swin-L and BinsFormer Swin-L
# 3: inference, compiled training, fp16
# 4: activation checkpointing, ScaleDepth, other methods, presets with one seed
# --rehearse runs the commands of a step on the CPU with tiny models, so that a wrong one shows where there is no GPU.
# OUT gets cuda/stepN.json, written after every measurement, and stepN.log. What a step has no time for is named.
# WHEELS is a folder of wheels that are missing; they are unpacked beside the installed packages. Where PyTorch, timm and
# OpenCV are there: pip download --no-deps -d WHEELS mmengine==0.10.7 mmcv-lite==2.2.0 addict termcolor yapf platformdirs
# PYTHON names the interpreter, LIMIT the seconds of the step, COMMIT the code where git cannot say.
# Results come into the docs by: cp OUT/cuda/*.json docs/benchmarks/cuda/ && cp OUT/cuda/*.png docs/images/ &&
# python benchmarks/write_page.py
set -uo pipefail
rehearse=
[ "${1:-}" != --rehearse ] || { rehearse=--rehearse; shift; }
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
# The slowest command of a step ends in time for the results to be copied.
case $1 in 1) limit=430 ;; 2) limit=400 ;; 3) limit=500 ;; 4) limit=330 ;; *)
    echo "STEP is 1, 2, 3 or 4, got '$1'" >&2
    exit 2
    ;;
esac
step=$1 limit=${LIMIT:-$limit}
[ -z "$rehearse" ] || limit=1000000
mkdir -p "$2/cuda"
out=$(cd "$2" && pwd)
wheels=${3:+$(cd "$3" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
# One machine, perhaps without a network: a download or a search for other interfaces would only wait.
export HF_HUB_OFFLINE=1 NCCL_IB_DISABLE=1 NCCL_SOCKET_IFNAME=lo GLOO_SOCKET_IFNAME=lo
export DEPTH_DEBUG=1 # tracebacks

failed=0
# try SECONDS COMMAND...: run it in what is left of the step, go on if it fails. pytest sums up when it is interrupted.
try() {
    local seconds=$1 left=$((limit - SECONDS - 10))
    shift
    [ -z "$rehearse" ] || seconds=$left
    [ "$seconds" -le "$left" ] || seconds=$left
    if [ "$seconds" -le 5 ]; then
        echo "== no time left: $*"
        failed=1
        return
    fi
    echo "== $* (at most $seconds s)"
    timeout --signal=INT --kill-after=10 "$seconds" "$@" || { echo "== exit code $?: $*"; failed=1; }
}
measure() {
    try "$1" "$python" tools/analysis_tools/benchmark_all.py ${rehearse:---device cuda} --step "$step" --results "$out" --no-page
}
check() {
    # Six processes share the GPU: most of a test is the start of a training. They do not time kernels for the benchmark.
    local workers=() tested=(TRITON_CACHE_DIR="$scratch/triton" OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" TORCHINDUCTOR_COMPILE_THREADS=4)
    [ -z "$rehearse" ] || tested+=(DEPTH_REHEARSE=1)
    [ -n "$rehearse" ] || ! "$python" -c 'import xdist' 2>/dev/null || workers=(-n 6 --dist worksteal)
    try "$1" env "${tested[@]}" "$python" -m pytest -m gpu -v --tb=short -rs --durations=15 -p no:cacheprovider \
        "${workers[@]}" tests/gpu
}
sanitize() {
    if ! command -v compute-sanitizer >/dev/null; then
        echo '== compute-sanitizer is not on the PATH: left out'
        return
    fi
    for tool in memcheck racecheck; do
        # Without PyTorch's cache of memory, every tensor has bounds of its own.
        try 60 env TRITON_CACHE_DIR="$scratch/triton" PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
            compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m tests.ops.triton_check cuda
    done
}
main() {
    # mmengine imports transformers, where it is installed, for one optimizer. That takes seconds and nobody needs it.
    mkdir "$scratch/absent" || return
    echo "raise ImportError('left out')" >"$scratch/absent/transformers.py"
    PYTHONPATH="$PYTHONPATH:$scratch/absent"
    if [ -n "$wheels" ]; then
        "$python" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$scratch/site" "$wheels"/*.whl ||
            return
        PYTHONPATH="$PYTHONPATH:$scratch/site"
    fi
    local device='torch.cuda.get_device_name()'
    [ -z "$rehearse" ] || device="'rehearsal on the CPU'"
    "$python" -c "import mmcv, torch, triton; print(torch.__version__, triton.__version__, $device)" || return
    case $step in
        1)
            check 230
            measure 250
            [ -n "$rehearse" ] || sanitize
            ;;
        *) measure 600 ;;
    esac
    echo "== step $step: failed: $failed, $SECONDS s"
    return "$failed"
}
main 2>&1 | tee "$out/step$step.log"
exit "${PIPESTATUS[0]}"
