#!/usr/bin/env bash
# Table 1 with five seeds on a Slurm cluster, features extracted by 8 tasks; options after the script's name are added:
#   examples/slurm/submit.sh --dry-run      prints the scripts and submits nothing
#   npx dgate submit --status               what waits, runs, is done, or failed and why
# The cache must lie on a file system that all nodes see.
set -euo pipefail
npx dgate submit table1 --seeds 0..4 --shards 8 --at-once 4 --cpus 4 --mem 8G --time 1:00:00 \
  --cache "${DGATE_CACHE:-$PWD/.cache}" "$@"
