#!/usr/bin/env bash
# Installs jaxsim for this machine's GPUs and trains on all of them; restarts after a crash.
#   CONFIG=configs/six_dim.py WORKDIR=runs/six_dim launch/gpu_node.sh --config.data.dir=data/mine
# Options (before those of jaxsim.train): --dry-run prints every command and runs none.
# RESTARTS: how many crashes to survive (3). PYTHON: creates the virtual environment (python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=1
  shift
fi
: "${CONFIG:?set it to a configuration, such as configs/six_dim.py}"
: "${WORKDIR:?set it to the directory of the run}"

train() {
  .venv/bin/python -m jaxsim.train --config="$CONFIG" --workdir="$WORKDIR" "$@" &
  child=$!
  code=0
  wait "$child" || code=$?
  if [[ $stopping ]]; then # a signal interrupted the wait; the training saves, then ends
    code=0
    wait "$child" || code=$?
  fi
  return "$code"
}

run nvidia-smi --list-gpus || fail "nvidia-smi finds no GPU; install the driver, or use launch/local.sh"
[[ -x .venv/bin/python ]] || run "${PYTHON:-python3}" -m venv .venv
run .venv/bin/pip install --quiet '.[gpu,scores]'
run .venv/bin/python -c 'import jax; jax.devices("gpu")'

if [[ $DRY_RUN ]]; then
  run .venv/bin/python -m jaxsim.train --config="$CONFIG" --workdir="$WORKDIR" "$@"
  say "after exit code 75 (asked to stop), or up to ${RESTARTS:-3} crashes: the last command again"
  exit
fi
stopping=""
for signal in INT TERM; do
  # shellcheck disable=SC2064 # the name is meant to expand now
  trap "stopping=1; kill -$signal \"\$child\" || true" "$signal"
done
while true; do
  code=0
  train "$@" || code=$?
  if [[ $stopping ]] || ! restart_wanted "$code"; then exit "$code"; fi
done
