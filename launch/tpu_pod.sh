#!/usr/bin/env bash
# Trains on a Cloud TPU slice: creates it (or uses an existing one of that name), installs this
# working tree on all of its workers, trains there, shows the logs here, and restarts after a
# preemption.
#   TPU_NAME=jaxsim ZONE=us-west4-a ACCELERATOR=v5litepod-16 VERSION=v2-alpha-tpuv5-lite \
#   SHARE=10.0.0.2:/jaxsim CONFIG=configs/six_dim.py WORKDIR=/mnt/share/runs/six_dim \
#   launch/tpu_pod.sh --delete --config.data.dir=/mnt/share/data/mine
# Options (before those of jaxsim.train):
#   --dry-run  prints every command and runs none
#   --delete   deletes the slice when the training has ended, successfully or not
# SHARE: an NFS export (Filestore) to mount as /mnt/share; several workers need it for WORKDIR.
# SPOT=1: a cheaper slice that may be preempted. PROJECT: by default gcloud's current one.
# RESTARTS: how many crashes to survive (3); preemptions don't count. RETRY_SECONDS: time between
# attempts to create a preempted slice again (300).
# The training continues without this script; running it again follows the training.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
delete=""
while [[ ${1:-} == --dry-run || ${1:-} == --delete ]]; do
  if [[ $1 == --dry-run ]]; then DRY_RUN=1; else delete=1; fi
  shift
done
: "${TPU_NAME:?set it to the name of the slice, such as jaxsim}"
: "${ZONE:?set it to the zone of the slice, such as us-west4-a}"
: "${ACCELERATOR:?set it to the type of the slice, such as v5litepod-16}"
: "${VERSION:?set it to the software version of the workers, such as v2-alpha-tpuv5-lite}"
: "${CONFIG:?set it to a configuration, such as configs/six_dim.py}"
: "${WORKDIR:?set it to the directory of the run, such as /mnt/share/runs/six_dim}"
place=(--zone="$ZONE")
if [[ ${PROJECT:-} ]]; then place+=(--project="$PROJECT"); fi

tpu() {
  run gcloud compute tpus tpu-vm "$@" "${place[@]}"
}

on_all_workers() {
  tpu ssh "$TPU_NAME" --worker=all --ssh-flag="-o ServerAliveInterval=30" --command="$1"
}

slice_state() { # empty if there is no slice
  tpu list --filter="name~/nodes/$TPU_NAME\$" --format="value(state)"
}

create() {
  tpu create "$TPU_NAME" --accelerator-type="$ACCELERATOR" --version="$VERSION" ${SPOT:+--spot}
}

delete_slice() {
  tpu delete "$TPU_NAME" --quiet
}

# Waits until the slice is ready; creates it if it does not exist or was preempted.
ensure_slice() {
  local state
  while true; do
    state=$(slice_state) || fail "gcloud cannot list the slices in $ZONE; see above"
    case "$state" in
      READY) return ;;
      PREEMPTED | TERMINATED)
        say "$TPU_NAME is $state; deleting and recreating it"
        delete_slice || fail "gcloud cannot delete $TPU_NAME; see above"
        ;;
      "")
        if ! create; then
          [[ $trained ]] || fail "gcloud cannot create $TPU_NAME; see above"
          say "no slice is available; next attempt in ${RETRY_SECONDS:-300} s"
          sleep "${RETRY_SECONDS:-300}"
        fi
        ;;
      STOPPED) fail "$TPU_NAME is STOPPED; start it (gcloud compute tpus tpu-vm start) or delete it" ;;
      *)
        say "$TPU_NAME is $state; waiting"
        sleep 10
        ;;
    esac
  done
}

# Packs the files that git does not ignore, once, so that every restart runs the same code.
pack() {
  commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || true) # for the checkpoints
  run mkdir -p build
  run bash -c "git ls-files -z --cached --others --exclude-standard | tar --null -T - -czf build/tree.tgz"
}

# A worker on which a training is still running is left alone.
install() {
  local unpack="mkdir -p jaxsim && tar -xzf tree.tgz -C jaxsim"
  local running="test -e jaxsim/build/train.lock && ! flock --nonblock jaxsim/build/train.lock true"
  tpu scp build/tree.tgz "$TPU_NAME:" --worker=all &&
    on_all_workers "$running || { $unpack && SHARE=$(quoted "${SHARE:-}") jaxsim/launch/tpu_worker.sh install; }"
}

train() {
  on_all_workers "${commit:+JAXSIM_COMMIT=$commit }jaxsim/launch/tpu_worker.sh train $(quoted --config="$CONFIG" --workdir="$WORKDIR" "$@")"
}

finish() { # CODE
  if [[ $delete ]]; then
    delete_slice || say "gcloud cannot delete $TPU_NAME, which still costs money"
  else
    say "the slice still exists and costs money; to delete it:"
    quoted gcloud compute tpus tpu-vm delete "$TPU_NAME" "${place[@]}" >&2
  fi
  exit "$1"
}

pack
if [[ $DRY_RUN ]]; then
  slice_state
  say "if it does not exist:"
  create
  install
  train "$@"
  say "after exit code 75 (asked to stop), or up to ${RESTARTS:-3} crashes: again from the copy on"
  say "after a preemption: this, then again from the creation on"
  delete_slice
  if [[ $delete ]]; then
    say "at the end:"
    delete_slice
  else
    say "without --delete, the slice stays at the end (and costs money)"
  fi
  exit
fi
trained=""
while true; do
  ensure_slice
  code=0
  { install && train "$@"; } || code=$?
  trained=1
  if [[ $code != 0 && $(slice_state) != READY ]]; then
    say "$TPU_NAME was preempted"
  elif ! restart_wanted "$code"; then
    finish "$code"
  fi
done
