#!/usr/bin/env bash
# Runs on every worker of a TPU slice, for tpu_pod.sh:
#   launch/tpu_worker.sh install                mounts $SHARE as /mnt/share; installs this tree
#   launch/tpu_worker.sh train [OPTIONS]        trains, or follows a training already running;
#                                               shows its log and exits with its exit code
# The training survives a broken connection; the next call follows it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
mkdir -p build

install() {
  if [[ ${SHARE:-} ]] && ! mountpoint -q /mnt/share; then
    sudo apt-get install --quiet --yes nfs-common
    sudo mkdir -p /mnt/share
    sudo mount -t nfs "$SHARE" /mnt/share
    sudo chmod a+rwx /mnt/share
  fi
  # The workers' own Python may be too old; uv installs one.
  python3 -m pip install --quiet --user uv
  ~/.local/bin/uv venv --quiet --allow-existing --python 3.12 .venv
  ~/.local/bin/uv pip install --quiet --python .venv/bin/python '.[tpu,scores]'
}

running() { # the training holds the lock
  ! flock --nonblock build/train.lock true
}

start() {
  rm -f build/train.code
  : >build/train.log
  quoted "$@" >build/train.options
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid nohup flock build/train.lock bash -c '"$@"; echo $? >build/train.code' _ \
    .venv/bin/python -m jaxsim.train --distributed "$@" </dev/null >>build/train.log 2>&1 &
  echo $! >build/train.pid
}

train() {
  local shown=20
  if running; then
    [[ $(quoted "$@") == "$(cat build/train.options)" ]] ||
      fail "a training with different options is running here: $(cat build/train.options)"
  else
    start "$@"
    shown=+1
  fi
  tail --pid="$(cat build/train.pid)" --lines="$shown" --follow build/train.log
  exit "$(cat build/train.code 2>/dev/null || echo 137)" # no code: it was killed
}

case "${1:-}" in
  install) install ;;
  train)
    shift
    train "$@"
    ;;
  *) fail "expected install or train, found '${1:-}'" ;;
esac
