# Sourced by dist_train.sh and dist_test.sh.
# launch NUM_PROCESSES SCRIPT ARGUMENTS...: start that many processes on this machine.
# MAX_RESTARTS: how often torchrun starts all processes again after one has failed; give --resume auto then.
# PYTHON: the interpreter (python if unset).
# RDZV_ENDPOINT=HOST[:PORT]: elastic start of NNODES machines ("4", or from 2 to 4: "2:4") that meet at HOST.
launch() {
    local processes=$1
    shift
    local nnodes=${NNODES:-1} port=${PORT:-} python=${PYTHON:-python} master=${MASTER_ADDR:-127.0.0.1} endpoint=${RDZV_ENDPOINT:-}
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    local options=(--nnodes="$nnodes" --nproc_per_node="$processes" --max_restarts="${MAX_RESTARTS:-0}")
    if [ -z "$endpoint" ] && [ -z "$port" ]; then
        if [ "$nnodes" -gt 1 ]; then
            port=29500
        else # any free one, so that two runs on a machine do not collide
            port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
        fi
    fi
    if [ -z "$endpoint" ] && [ "${MAX_RESTARTS:-0}" -gt 0 ]; then
        endpoint=$master:$port
    fi
    if [ -n "$endpoint" ]; then
        # A store for each start: in a shared one, processes that are started again find the addresses
        # of those before (https://github.com/pytorch/pytorch/issues/135712).
        export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
        options+=(--rdzv_backend=c10d --rdzv_endpoint="$endpoint" --rdzv_id="${RDZV_ID:-depth}")
    else
        options+=(--node_rank="${NODE_RANK:-0}" --master_addr="$master" --master_port="$port")
    fi
    # yapf (mmengine imports it) writes a cache at its first import after an installation, and not atomically:
    # processes that start at the same moment would read half a file.
    "$python" -c 'import yapf'
    # The processes write to this terminal; without --log-dir torchrun leaves an empty folder in /tmp.
    exec "$python" -m torch.distributed.run "${options[@]}" --log-dir=/dev/null "$@"
}
