#!/usr/bin/env bash
# Trains on this machine with all of its devices; goes on by itself if it is killed and started again.
#   CONFIG=configs/six_dim.py WORKDIR=runs/six_dim launch/local.sh --config.data.dir=data/mine
set -euo pipefail
: "${CONFIG:?set it to a configuration, such as configs/six_dim.py:demo}"
: "${WORKDIR:?set it to the directory of the run}"
exec python -m jaxsim.train --config="$CONFIG" --workdir="$WORKDIR" "$@"
