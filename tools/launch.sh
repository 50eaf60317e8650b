# Sourced by dist_train.sh and dist_test.sh.
# launch NUM_PROCESSES SCRIPT ARGUMENTS...: start that many processes on this machine.
launch() {
    local processes=$1
    shift
    local nnodes=${NNODES:-1} port=${PORT:-}
    if [ -z "$port" ]; then
        if [ "$nnodes" -gt 1 ]; then
            port=29500
        else # any free one, so that two runs on a machine do not collide
            port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
        fi
    fi
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # yapf (mmengine imports it) writes a cache at its first import after an installation, and not atomically:
    # processes that start at the same moment would read half a file.
    python -c 'import yapf'
    # The processes write to this terminal; without --log-dir torchrun leaves an empty folder in /tmp.
    exec python -m torch.distributed.run \
        --nnodes="$nnodes" --node_rank="${NODE_RANK:-0}" --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="$port" --nproc_per_node="$processes" --log-dir=/dev/null "$@"
}
