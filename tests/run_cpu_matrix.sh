#!/usr/bin/env bash
# Run tests as on other processors and print a table: instruction sets of PyTorch and oneDNN, 1 and 2 threads, 3 seeds.
#   bash tests/run_cpu_matrix.sh                                the whole suite, 12 times (hours)
#   bash tests/run_cpu_matrix.sh tests/test_methods.py -k dpt   arguments go to pytest
# PYTHON names the interpreter, SEEDS and THREADS other values than "0 1 2" and "1 2", LOGS where the output goes.
# A set that this processor does not have cannot be tried; the ones here run on every x86-64 with AVX2.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON="${PYTHON:-python}"
LOGS="${LOGS:-work_dirs/cpu_matrix}"
mkdir -p "$LOGS"
row='%-8s %-6s %-7s %-4s %-8s %s\n'
rows=() failed=0
for isa in 'default SSE41' 'avx2 AVX2'; do
    read -r aten onednn <<<"$isa"
    for threads in ${THREADS:-1 2}; do
        for seed in ${SEEDS:-0 1 2}; do
            log="$LOGS/${aten}_${onednn}_${threads}_${seed}.log"
            start=$SECONDS
            ATEN_CPU_CAPABILITY="$aten" ONEDNN_MAX_CPU_ISA="$onednn" DEPTH_TEST_SEED="$seed" \
                OMP_NUM_THREADS="$threads" MKL_NUM_THREADS="$threads" "$PYTHON" -m pytest "$@" >"$log" 2>&1
            code=$?
            # 5: no test was selected, which is no success either.
            [[ $code -eq 0 ]] || failed=1
            rows+=("$(printf "$row" "$aten" "$onednn" "$threads" "$seed" "$((SECONDS - start)) s" \
                "exit $code, $(grep -E '(passed|failed|error|no tests ran)' "$log" | tail -n 1)")")
            echo "${rows[-1]}"
            grep -E '^(FAILED|ERROR)' "$log" || true
        done
    done
done
echo
printf "$row" ATen oneDNN threads seed time result
printf '%s\n' "${rows[@]}"
exit $failed
