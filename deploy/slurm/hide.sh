#!/bin/sh
#SBATCH --job-name=velum-hide
#SBATCH --array=0-39
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --requeue
#SBATCH --open-mode=append
# Each task hides every so many-th shard. Slurm starts the tasks of a lost node again, and they continue.
exec velum batch "$SOURCE" -o "$RESULTS" --plan "$PLAN" --no-progress \
  --workers "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID" --shards "$SLURM_ARRAY_TASK_COUNT"
