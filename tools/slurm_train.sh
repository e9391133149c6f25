#!/usr/bin/env bash
# Train under Slurm, one task a GPU: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS=16 GPUS_PER_NODE=8 CPUS_PER_TASK=10 SRUN_ARGS="--time=48:00:00" PORT=29500 set the size of the job.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
partition=$1 job=$2 config=$3
shift 3
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
export MASTER_PORT="${PORT:-29500}"
# shellcheck disable=SC2086
exec srun --partition="$partition" --job-name="$job" \
  --ntasks="$gpus" --ntasks-per-node="$per_node" --gres="gpu:$per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-10}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --launcher slurm "$@"
