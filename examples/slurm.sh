#!/bin/sh
# A job on 16 machines, then what needs all of it: sh slurm.sh /shared/job.yaml
set -eu
job=$1
array=$(sbatch --parsable --array=1-16 --cpus-per-task=8 --requeue \
  --wrap "hardneg run $job --shard \$SLURM_ARRAY_TASK_ID/16")
# Once more, for what waits until something is learnt from the whole job; a moment where nothing does.
array=$(sbatch --parsable --array=1-16 --cpus-per-task=8 --requeue --dependency="afterok:$array" \
  --wrap "hardneg run $job --shard \$SLURM_ARRAY_TASK_ID/16")
sbatch --cpus-per-task=8 --dependency="afterok:$array" --wrap "hardneg merge $job"
