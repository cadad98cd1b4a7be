#!/usr/bin/env bash
# Trains on the TPUs or GPUs of a Google Kubernetes Engine cluster with JobSet installed: fills in
# jobset_tpu.yaml or jobset_gpu.yaml and passes it to kubectl.
#   NAME=jaxsim IMAGE=REGION-docker.pkg.dev/PROJECT/REPOSITORY/jaxsim:1 CLAIM=jaxsim \
#   CONFIG=configs/six_dim.py WORKDIR=/mnt/share/runs/six_dim \
#   ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 HOSTS=4 CHIPS=4 launch/gke.sh tpu
#   ACCELERATOR=nvidia-h100-80gb HOSTS=2 CHIPS=8 launch/gke.sh gpu     (after the first two lines)
# Arguments: [--dry-run] tpu|gpu [options of jaxsim.train]. HOSTS: number of machines; CHIPS: TPU chips
# or GPUs in each. CLAIM: a volume claim that many pods can write to (Filestore), mounted as /mnt/share.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=1
  shift
fi
kind="${1:-}"
[[ $kind == tpu || $kind == gpu ]] || fail "expected tpu or gpu, found '$kind'"
shift
export NAME="${NAME:?set it to the name of the JobSet, such as jaxsim}"
export IMAGE="${IMAGE:?set it to the image built with launch/Dockerfile}"
export CLAIM="${CLAIM:?set it to the name of a volume claim that many pods can write to}"
export ACCELERATOR="${ACCELERATOR:?set it to the accelerator of the nodes, such as tpu-v5-lite-podslice}"
export HOSTS="${HOSTS:?set it to the number of machines, such as 4}"
export CHIPS="${CHIPS:?set it to the number of TPU chips or GPUs in a machine, such as 4}"
if [[ $kind == tpu ]]; then export TOPOLOGY="${TOPOLOGY:?set it to the topology of the slice, such as 4x4}"; fi
export RESTARTS="${RESTARTS:-3}"
: "${CONFIG:?set it to a configuration, such as configs/six_dim.py}"
: "${WORKDIR:?set it to the directory of the run, such as /mnt/share/runs/six_dim}"

manifest=$(python3 launch/fill.py "launch/jobset_$kind.yaml" \
  --distributed --config="$CONFIG" --workdir="$WORKDIR" "$@")
if [[ $DRY_RUN ]]; then
  printf "kubectl create --filename=- <<'EOF'\n%s\nEOF\n" "$manifest"
else
  kubectl create --filename=- <<<"$manifest" || fail "kubectl could not create jobset/$NAME; see above"
fi
say "to follow its first process, see its state, or end it:"
quoted kubectl logs --follow --selector="jobset.sigs.k8s.io/jobset-name=$NAME,batch.kubernetes.io/job-completion-index=0"
quoted kubectl get "jobset/$NAME" --output=yaml
quoted kubectl delete "jobset/$NAME"
