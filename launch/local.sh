#!/usr/bin/env bash
# Trains on all devices of this machine; if killed, resumes by itself when started again.
#   CONFIG=configs/six_dim.py WORKDIR=runs/six_dim launch/local.sh --config.data.dir=data/mine
# With --dry-run as the first option, it only prints the command.
set -euo pipefail
# shellcheck source=launch/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=1
  shift
fi
: "${CONFIG:?set it to a configuration, such as configs/six_dim.py:demo}"
: "${WORKDIR:?set it to the directory of the run}"
command=(python -m jaxsim.train --config="$CONFIG" --workdir="$WORKDIR" "$@")
if [[ $DRY_RUN ]]; then run "${command[@]}"; else exec "${command[@]}"; fi
