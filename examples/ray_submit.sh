#!/bin/sh
# A job on a Ray cluster that is running; its driver runs there too: sh ray_submit.sh /shared/job.yaml
# Its data, models by path, output and cache lie on a disk that all machines of the cluster share.
set -eu
job=$1
ray job submit --address "${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}" -- \
  hardneg run "$job" --set "engine={kind: ray, concurrency: [1, 16], cpus: 4}"
