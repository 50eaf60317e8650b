# Sourced by dist_train.sh and dist_test.sh.
# launch NUM_PROCESSES SCRIPT ARGUMENTS...: start that many processes on this machine.
# MAX_RESTARTS: how often torchrun starts all processes again after one has failed; give --resume auto then.
# RDZV_ENDPOINT=HOST[:PORT]: elastic start of NNODES machines ("4", or from 2 to 4: "2:4") that meet at HOST.
launch() {
    local processes=$1
    shift
    local nnodes=${NNODES:-1} port=${PORT:-}
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    local options=(--nnodes="$nnodes" --nproc_per_node="$processes" --max_restarts="${MAX_RESTARTS:-0}")
    if [ -n "${RDZV_ENDPOINT:-}" ]; then
        options+=(--rdzv_backend=c10d --rdzv_endpoint="$RDZV_ENDPOINT" --rdzv_id="${RDZV_ID:-depth}")
        exec python -m torch.distributed.run "${options[@]}" "$@"
    fi
    if [ -z "$port" ]; then
        if [ "$nnodes" -gt 1 ]; then
            port=29500
        else # any free one, so that two runs on a machine do not collide
            port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
        fi
    fi
    exec python -m torch.distributed.run "${options[@]}" \
        --node_rank="${NODE_RANK:-0}" --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$port" "$@"
}
