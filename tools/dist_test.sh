#!/usr/bin/env bash
# Test on several processes of one or more machines: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# One machine:   tools/dist_test.sh CONFIG CHECKPOINT 8
# Two machines:  NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 tools/dist_test.sh CONFIG CHECKPOINT 8   (NODE_RANK=1 on the second)
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,4s/^# //p' "$0" >&2
  exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
