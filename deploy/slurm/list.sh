#!/bin/sh
#SBATCH --job-name=velum-list
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
# Lists SOURCE into shards. SOURCE, RESULTS and PLAN are variables of the shell that calls sbatch.
exec velum batch "$SOURCE" -o "$RESULTS" --plan "$PLAN" --workers 1 --no-progress --list
